//! Crash at every event and every effect of a window: whatever was clean and durable is uploaded by the next process.

use std::rc::Rc;

use grail_miner::machine::WindowOutcome;
use grail_miner::policy::UploadPolicy;
use grail_sim::case::{Case, FORMAT, Speed};
use grail_sim::run::{Knobs, SimReport, simulate};
use grail_sim::synthetic::SyntheticModel;

/// One window of three groups with an early upload and one at the end, and the window after it.
fn world(crash_at_step: Option<u64>) -> Case {
    Case {
        format: FORMAT,
        seed: 11,
        windows: 2,
        speed: Speed { groups_in_flight: 1, tokens_per_s: 60, proof_us_per_token: 100 },
        groups_max: 3,
        use_drand: true,
        policy: UploadPolicy::All,
        knobs: Knobs { crash_at_step, ..Knobs::default() },
        faults: Vec::new(),
    }
}

fn run(crash_at_step: Option<u64>) -> SimReport {
    simulate(&world(crash_at_step).config(Rc::new(SyntheticModel::default())), |_| {})
}

#[test]
fn a_crash_at_any_event_of_a_window_loses_nothing_clean() {
    let whole = run(None);
    assert_eq!(whole.violations, Vec::<String>::new());
    // Steps of both windows; the second is there for what is settled after the first.
    let steps = whole.steps / 2 + 10;
    assert!(steps > 60, "{steps} steps");
    for step in 1..=steps {
        let report = run(Some(step));
        assert_eq!(report.violations, Vec::<String>::new(), "killed at step {step}");
        for window in &report.windows {
            let receipt = &window.receipt;
            assert_eq!(window.judgement.outcome(), "accepted", "killed at step {step}: {receipt:?}");
            let (_, accepted) = window.checked_and_accepted();
            assert_eq!(accepted, 12, "killed at step {step}: not all three groups");
            assert!(matches!(receipt.outcome, WindowOutcome::Uploaded | WindowOutcome::Lost(_)), "{receipt:?}");
        }
    }
}
