//! Crash at every event and every effect of a window: the next process uploads every clean and durable group.

use grail_miner::machine::WindowOutcome;
use grail_sim::case::Case;
use grail_sim::run::{Knobs, SimReport};

use crate::worlds;

fn run(crash_at_step: Option<u64>) -> SimReport {
    let world = worlds::two_windows();
    worlds::run(&Case { knobs: Knobs { crash_at_step, ..world.knobs }, ..world })
}

#[test]
fn a_crash_at_any_event_of_a_window_loses_nothing_clean() {
    let whole = run(None);
    assert_eq!(whole.violations, Vec::<String>::new());
    // Steps of both windows; the first one's receipt may come in the second.
    let steps = whole.steps / 2 + 10;
    assert!(steps > 60, "{steps} steps");
    for step in 1..=steps {
        let report = run(Some(step));
        assert_eq!(report.violations, Vec::<String>::new(), "killed at step {step}");
        for window in &report.windows {
            let receipt = &window.receipt;
            assert_eq!(window.judgment.outcome(), "accepted", "killed at step {step}: {receipt:?}");
            let (_, accepted) = window.checked_and_accepted();
            assert_eq!(accepted, 12, "killed at step {step}: not all three groups");
            assert!(matches!(receipt.outcome, WindowOutcome::Uploaded | WindowOutcome::Lost(_)), "{receipt:?}");
        }
    }
}
