//! Receipts of windows in which one fault lasted from the first block to the last.

use grail_miner::machine::WindowOutcome;
use grail_protocol::PROTOCOL;
use grail_sim::case::Case;
use grail_sim::faults::{Fault, FaultKind};
use grail_sim::run::{FIRST_WINDOW, SimReport};

use crate::worlds;

/// Returns a world whose first window has this fault all through, and whose second one has none.
fn under(kinds: &[FaultKind]) -> SimReport {
    let until_ms = (PROTOCOL.window_blocks + 2) * PROTOCOL.block_ms;
    let fault = |&kind| Fault { kind, from_ms: 0, until_ms, strength: 1, window_start: FIRST_WINDOW };
    let report = worlds::run(&Case { faults: kinds.iter().map(fault).collect(), ..worlds::two_windows() });
    assert_eq!(report.violations, Vec::<String>::new(), "{kinds:?}");
    assert_eq!(report.windows[1].receipt.outcome, WindowOutcome::Uploaded, "{kinds:?}: it is over");
    report
}

fn lost(report: &SimReport) -> &str {
    match &report.windows[0].receipt.outcome {
        WindowOutcome::Lost(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bucket_that_is_down_for_a_whole_window_is_what_the_receipt_names() {
    for (kind, error) in [
        (FaultKind::UploadErrorBefore, "503 Slow Down"),
        (FaultKind::BucketRateLimit, "429 Too Many Requests"),
        (FaultKind::PartialUpload, "the connection broke after part 1 of 2"),
        (FaultKind::WebPage, "HTTP status 403 without an S3 error"),
    ] {
        let report = under(&[kind]);
        let why = lost(&report);
        assert!(why.starts_with("the bucket failed ") && why.contains(error), "{kind:?}: {why}");
        assert!(why.contains(" times") && !why.contains("block hash"), "{kind:?}: {why}");
    }
}

#[test]
fn a_store_without_conditions_is_named_and_not_tried_again() {
    let report = under(&[FaultKind::NoConditions]);
    assert_eq!(lost(&report), "the bucket refuses: the store has no conditional writes (NotImplemented)");
}

#[test]
fn an_unreadable_write_is_no_upload() {
    let report = under(&[FaultKind::WrongAddress]);
    let why = lost(&report);
    assert!(why.contains("there is no object where validators read"), "{why}");
    assert!(report.windows[0].file.is_none() && report.windows[0].judgment.outcome() != "accepted");
    assert!(report.marks.contains_key("machine/acknowledged-write-is-never-found"), "{:?}", report.marks);
}

#[test]
fn an_unconfirmed_hash_is_reported_with_the_chains_error() {
    // The hash is read once at the beginning, and never again.
    let from_ms = 3 * PROTOCOL.block_ms;
    let until_ms = (PROTOCOL.window_blocks + 2) * PROTOCOL.block_ms;
    let fault = Fault { kind: FaultKind::HashesRefused, from_ms, until_ms, strength: 1, window_start: FIRST_WINDOW };
    let report = worlds::run(&Case { faults: vec![fault], ..worlds::two_windows() });
    assert_eq!(report.violations, Vec::<String>::new());
    let outcome = &report.windows[0].receipt.outcome;
    let WindowOutcome::KeptBack(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.starts_with("the window's block hash could not be confirmed, its reading failed "), "{why}");
}
