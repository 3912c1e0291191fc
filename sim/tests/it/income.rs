//! Cost of the end of a window: the income oracle on engines that work in batches.

use std::rc::Rc;

use grail_sim::engine::EngineSpeed;
use grail_sim::faults::Faults;
use grail_sim::income::Income;
use grail_sim::run::{Knobs, SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;

fn with_engine(speed: EngineSpeed, rejected_permille: u64, windows: u64) -> SimConfig {
    SimConfig::new(Rc::new(SyntheticModel::rejected(rejected_permille)), speed, 9, windows)
}

#[test]
fn hardly_anything_is_lost_at_the_end_of_a_window_however_much_is_rejected() {
    // Batches of 16 groups take about 12 s.
    let batches = EngineSpeed::made_up(16, 2_000, 300);
    for (permille, windows) in [(10, 1), (30, 2)] {
        let report = simulate(&with_engine(batches, permille, windows), |_| {});
        assert_eq!(report.violations, Vec::<String>::new());
        for window in &report.windows {
            let Income { had, possible } = window.income;
            assert!(possible > 200 && had <= possible + possible / 50, "{had} of {possible}");
            let lost = window.receipt.groups_clean - had;
            assert!(200 * lost <= 3 * window.receipt.groups_clean, "{permille}: {lost} of {window:?}");
        }
        assert!(report.income().share() > 0.97, "{permille}: {:?}", report.income());
    }
}

#[test]
fn a_slow_link_is_part_of_the_plan() {
    const BYTES_PER_MS: u64 = 40;
    let knobs = Knobs { uplink_bytes_per_ms: BYTES_PER_MS, ..Knobs::default() };
    let slow = EngineSpeed::made_up(16, 2_000, 1_200);
    let mut files = Vec::new();
    let report = simulate(&SimConfig { knobs, ..with_engine(slow, 10, 2) }, |window| files.extend(window.file.clone()));
    assert_eq!(report.violations, Vec::<String>::new());
    // To write a file of these windows takes more than a quarter of a minute.
    let took_ms: Vec<u64> = files.iter().map(|file| file.len() as u64 / BYTES_PER_MS).collect();
    assert!(took_ms.len() == 2 && took_ms.iter().all(|ms| *ms > 15_000), "{took_ms:?}");
    for window in &report.windows {
        assert_eq!(window.judgment.outcome(), "accepted");
        assert!(window.income.share() > 0.9, "{:?}", window.income);
    }
}

#[test]
fn the_oracle_counts_what_a_window_lost() {
    // Without early uploads a bucket that refuses writes at the end costs everything.
    let faults: Faults = "upload-error-before".parse().unwrap();
    let knobs = Knobs { early_upload_ms: None, ..Knobs::default() };
    // A window of fewer groups shows it as well.
    let slow = EngineSpeed::made_up(16, 2_000, 3_000);
    let report = simulate(&SimConfig { knobs, faults, ..with_engine(slow, 10, 6) }, |_| {});
    let lost = report.windows.iter().filter(|window| window.receipt.groups_uploaded == 0);
    let lost: Vec<Income> = lost.map(|window| window.income).collect();
    assert!(!lost.is_empty() && lost.iter().all(|income| income.had == 0 && income.possible > 20), "{lost:?}");
}
