//! Temporary.
use grail_miner::policy::UploadPolicy;
use grail_sim::engine::SpeedProfile;
use grail_sim::run::{SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;
use std::rc::Rc;
#[test]
fn print() {
    for seed in 1..=3 {
        for faults in ["none", "random"] {
            let config = SimConfig {
                seed,
                windows: 3,
                generator: Rc::new(SyntheticModel::default()),
                profile: SpeedProfile::named("a100").expect("known"),
                groups_max: Some(12),
                faults: faults.parse().expect("known"),
                use_drand: true,
                policy: UploadPolicy::All,
                knobs: Default::default(),
                keep_trace: false,
                observer: None,
            };
            let report = simulate(&config, |_| {});
            println!(
                "HASH|grail sim --engine synthetic --windows 3 --groups-max 12 --policy all --seed {seed} --faults {faults}|{}|{:?}",
                report.trace_hash, report.violations
            );
        }
    }
}
