//! A long run takes no more memory than a short one, except a line of results per window.

use std::process::Command;

use grail_sim::run::{SimConfig, simulate};

use crate::worlds;

/// A file of one group alone takes 20 kB gzipped and 700 kB once read.
const KB_PER_WINDOW_MAX: u64 = 5;

fn resident_kb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// Tells the process that [`memory_stays_flat_over_hundreds_of_windows`] starts that it is the one.
const ALONE: &str = "GRAIL_TEST_MEMORY_ALONE";

/// The process of the test below, in which nothing else takes memory; by itself it does nothing.
#[test]
fn hundreds_of_windows_alone() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let config = SimConfig { groups_max: Some(1), ..worlds::at_speed("a100", 1, 400) };
    let mut resident = Vec::new();
    let report = simulate(&config, |_| resident.push(resident_kb()));
    assert_eq!(report.violations, Vec::<String>::new());
    // Without the system's figures there is nothing to compare.
    if let (Some(early), Some(late)) = (resident[99], resident[399]) {
        assert!(late < early + 300 * KB_PER_WINDOW_MAX, "{early} kB after 100 windows, {late} kB after 400");
    }
}

#[test]
fn memory_stays_flat_over_hundreds_of_windows() {
    let program = std::env::current_exe().expect("this test's own file");
    let alone = Command::new(program).args(["--exact", "memory::hundreds_of_windows_alone"]).env(ALONE, "1").output();
    let alone = alone.expect("the process runs");
    let output = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && output.contains("1 passed"), "{output}");
}
