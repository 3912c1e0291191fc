//! A long run takes no more memory than a short one, but for a line of results per window.

use std::rc::Rc;

use grail_sim::engine::SpeedProfile;
use grail_sim::run::{SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;

/// A file of one group alone takes 20 kB gzipped and 700 kB once read.
const KB_PER_WINDOW_MAX: u64 = 5;

fn resident_kb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[test]
fn memory_stays_flat_over_hundreds_of_windows() {
    let config = SimConfig {
        groups_max: Some(1),
        ..SimConfig::new(
            Rc::new(SyntheticModel::default()),
            SpeedProfile::named("a100").expect("a known profile"),
            1,
            400,
        )
    };
    let mut resident = Vec::new();
    let report = simulate(&config, |_| resident.push(resident_kb()));
    assert_eq!(report.violations, Vec::<String>::new());
    // Where the system does not tell there is nothing to compare.
    if let (Some(early), Some(late)) = (resident[99], resident[399]) {
        assert!(late < early + 300 * KB_PER_WINDOW_MAX, "{early} kB after 100 windows, {late} kB after 400");
    }
}
