//! What fails: hash, writes, read-backs, the process itself.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_hash_that_cannot_be_read_keeps_the_file_back() {
    let mut bed = Bed::new(3);
    let failed = |bed: &mut Bed| bed.bench.run(|cx| bed.upload.on_hash_failed(cx, "no answer"));
    assert_eq!(failed(&mut bed), [], "no upload waits for it");
    assert_eq!(bed.outcome(), "lost: the upload was not confirmed before the window ended");
    bed.closing();
    assert_eq!(bed.outcome(), "kept back: the window's block hash could not be confirmed");
    assert_eq!(kinds(&failed(&mut bed)), ["SetTimer"]);
    let why = "the window's block hash could not be confirmed, its reading failed once: no answer";
    assert_eq!(bed.outcome(), format!("kept back: {why}"), "while it pauses");
    bed.resume();
    bed.put_confirmed();
    bed.answered(Err(transient()));
    assert_eq!(bed.outcome(), format!("lost: the bucket failed once: HTTP 503; then {why}"));
}

#[test]
fn a_write_that_did_not_take_place_is_tried_again_with_a_new_file() {
    let mut bed = Bed::new(3);
    let (_, first) = bed.put();
    let actions = bed.answered(Err(transient()));
    assert_eq!(kinds(&actions), ["Report", "AppendJournal", "SetTimer"]);
    bed.bench.now_ms = retry_ms(&actions).unwrap();
    assert_eq!(kinds(&bed.resume()), ["ReadBlockHash"]);
    let (condition, second) = bed.put_confirmed();
    assert_eq!(condition, PutCondition::Absent);
    assert!(first != second, "the file has the time in it");
    assert_eq!(bed.outcome(), "lost: the bucket failed once: HTTP 503");
    bed.answered(Ok("1"));
    bed.found(Some(&second));
    assert_eq!(bed.confirmed(), Some(3));
    assert_eq!(bed.upload.attempts, Attempts::default(), "failures before a success are no reason for anything");
}

#[test]
fn a_write_of_unknown_outcome_is_looked_for() {
    for error in [unknown(), BucketError::ConditionFailed] {
        let mut bed = Bed::new(3);
        let (_, digest) = bed.put();
        bed.bench.now_ms += 10_000;
        assert_eq!(kinds(&bed.answered(Err(error.clone()))), ["Report", "ReadObject"]);
        // That it took longer than 10 s counts half.
        assert_eq!(bed.bench.timing.upload_takes_ms(3, &bed.bench.settings, bed.bench.now_ms), 7_000);
        let mut there = Bed { upload: bed.upload.clone(), hash: bed.hash.clone(), groups: clean_groups(3), ..bed };
        assert_eq!(kinds(&there.found(Some(&digest))), ["AppendJournal"]);
        assert_eq!(there.confirmed(), Some(3));
    }
    let mut bed = Bed::new(3);
    bed.put();
    bed.answered(Err(unknown()));
    let actions = bed.found(None);
    assert_eq!(kinds(&actions), ["AppendJournal", "SetTimer"], "abandoned, and written again");
    let Action::AppendJournal { record: JournalRecord::UploadAbandoned { why, .. }, .. } = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!(why, "it is not in the bucket: timeout");
    assert_eq!(kinds(&bed.resume()), ["ReadBlockHash"]);
}

#[test]
fn a_bucket_that_failed_for_minutes_is_no_slow_link() {
    let takes_ms = |bed: &Bed| bed.bench.timing.upload_takes_ms(3, &bed.bench.settings, bed.bench.now_ms);
    for (is_failing, learned_ms) in [(false, TAKES_MS.midpoint(200_000)), (true, TAKES_MS.midpoint(4 * TAKES_MS))] {
        let mut bed = Bed::new(3);
        let (_, digest) = bed.put();
        bed.answered(Ok("written"));
        if is_failing {
            bed.read(Err(unknown()));
            bed.resume();
        }
        bed.bench.now_ms += 200_000;
        bed.found(Some(&digest));
        assert_eq!(takes_ms(&bed), learned_ms, "{is_failing}");
    }
}

#[test]
fn an_older_file_of_ours_that_is_there_counts_for_what_it_holds() {
    // The second write's outcome is unknown and the first file is there: the second is written again.
    let mut bed = Bed::new(3);
    let first = bed.uploaded();
    let slack_ms = bed.upload.confirmed().unwrap().slack_ms;
    bed.groups = clean_groups(4);
    bed.bench.now_ms += 5_000;
    bed.put();
    bed.answered(Err(unknown()));
    assert_eq!(kinds(&bed.found(Some(&first))), ["AppendJournal", "SetTimer"]);
    assert_eq!((bed.confirmed(), bed.upload.confirmed().unwrap().slack_ms), (Some(3), slack_ms));
    assert_eq!(kinds(&bed.resume()), ["ReadBlockHash"]);
    // A first attempt that shows after all makes the second one unnecessary: it holds the same groups.
    let mut bed = Bed::new(3);
    let (_, first) = bed.put();
    bed.answered(Err(unknown()));
    bed.found(None);
    bed.bench.now_ms += 5_000;
    bed.resume();
    bed.put_confirmed();
    bed.answered(Err(BucketError::ConditionFailed));
    assert_eq!(kinds(&bed.found(Some(&first))), ["AppendJournal", "AppendJournal"], "one done, one abandoned");
    assert_eq!((bed.confirmed(), bed.upload.confirmed().unwrap().slack_ms), (Some(3), None));
    assert!(!bed.upload.is_in_progress());
}

#[test]
fn a_write_that_was_acknowledged_may_show_late() {
    let mut bed = Bed::new(3);
    let first = bed.uploaded();
    bed.groups = clean_groups(4);
    bed.bench.now_ms += 5_000;
    let (_, second) = bed.put();
    bed.answered(Ok("2"));
    for _ in 0..7 {
        assert_eq!(kinds(&bed.found(Some(&first))), ["SetTimer"], "the old one is still shown");
        assert_eq!(kinds(&bed.resume()), ["ReadObject"]);
    }
    assert_eq!(
        bed.outcome(),
        "lost: a write was acknowledged, and validators could not read it yet when the window ended"
    );
    bed.found(Some(&second));
    assert_eq!(bed.confirmed(), Some(4));
}

#[test]
fn a_write_that_was_acknowledged_and_never_shows_is_reported_and_repeated() {
    let mut bed = Bed::new(3);
    bed.put();
    bed.answered(Ok("1"));
    for _ in 0..MISSING_READS_MAX {
        assert_eq!(kinds(&bed.found(None)), ["SetTimer"]);
        assert_eq!(kinds(&bed.resume()), ["ReadObject"]);
    }
    assert_eq!(kinds(&bed.found(None)), ["Report", "AppendJournal", "SetTimer"]);
    assert!(bed.outcome().contains("there is no object where validators read"), "{}", bed.outcome());
    bed.bench.now_ms += 20_000;
    assert_eq!(kinds(&bed.resume()), ["ReadBlockHash"]);
    assert_eq!(bed.put_confirmed().0, PutCondition::Absent);
}

#[test]
fn bytes_that_are_strange_twice_are_another_writer_s() {
    let mut bed = Bed::new(3);
    let (_, digest) = bed.put();
    bed.answered(Ok("1"));
    assert_eq!(kinds(&bed.found(Some("x"))), ["SetTimer"]);
    bed.resume();
    assert_eq!(kinds(&bed.found(Some("y"))), ["SetTimer"], "altered on their way");
    bed.resume();
    let mut good = Bed { upload: bed.upload.clone(), hash: bed.hash.clone(), ..Bed::new(3) };
    good.found(Some(&digest));
    assert_eq!(good.confirmed(), Some(3));
    assert_eq!(kinds(&bed.found(Some("y"))), ["AppendJournal"], "abandoned");
    assert!(!bed.upload.is_in_progress());
    assert_eq!(bed.closing(), [], "nothing is written over somebody else's file");
    assert!(bed.outcome().contains("run one miner per hotkey"), "{}", bed.outcome());
}

#[test]
fn a_refusal_ends_the_attempts_and_is_told_first() {
    let refused = || BucketError::Refused("no such bucket".to_owned());
    let mut bed = Bed::new(3);
    bed.put();
    assert_eq!(kinds(&bed.answered(Err(refused()))), ["Report", "AppendJournal"]);
    assert_eq!(bed.closing(), []);
    assert_eq!(bed.outcome(), "lost: the bucket refuses: no such bucket");
    let mut bed = Bed::new(3);
    bed.put();
    bed.answered(Err(unknown()));
    assert_eq!(kinds(&bed.read(Err(transient()))), ["Report", "SetTimer"]);
    bed.resume();
    assert_eq!(kinds(&bed.read(Err(refused()))), ["Report"]);
    assert_eq!(bed.closing(), [], "not even a look for the file that is pending");
    let why = "the bucket failed 3 times, first: timeout; last: no such bucket";
    assert_eq!(bed.outcome(), format!("lost: the bucket refuses: no such bucket; {why}"));
}

/// Returns the ledger that a process leaves that had this file done, and this one pending.
fn ledger(done: Option<usize>, pending: Option<usize>) -> FileLedger {
    let mut ledger = FileLedger::default();
    for (digest, groups) in [("done", done), ("pending", pending)] {
        let Some(groups) = groups else { continue };
        let digest = digest.to_owned();
        ledger.restore(JournalRecord::UploadStarted { window_start: WINDOW, digest, groups });
    }
    ledger.restore(JournalRecord::UploadDone { window_start: WINDOW, digest: "done".to_owned() });
    ledger
}

#[test]
fn after_a_crash_the_file_that_was_on_its_way_is_looked_for_first() {
    let mut bed = Bed::new(4);
    bed.bench.run(|cx| bed.upload.restore(cx, &bed.groups, ledger(Some(3), Some(4))));
    let confirmed = bed.upload.confirmed().unwrap();
    assert_eq!((confirmed.groups, confirmed.digest.as_str(), confirmed.slack_ms), (3, "done", None));
    assert_eq!(kinds(&bed.early()), ["ReadObject"]);
    let mut lost = Bed { upload: bed.upload.clone(), hash: bed.hash.clone(), ..Bed::new(4) };
    assert_eq!(kinds(&bed.found(Some("pending"))), ["AppendJournal"]);
    assert_eq!((bed.confirmed(), bed.closing()), (Some(4), vec![]));
    assert_eq!(kinds(&lost.found(Some("done"))), ["AppendJournal", "SetTimer"]);
    assert_eq!(lost.confirmed(), Some(3));
    assert_eq!(kinds(&lost.resume()), ["ReadBlockHash"]);
    assert_eq!(lost.put_confirmed().0, PutCondition::Matches(etag("read")));
}

#[test]
fn a_file_of_a_crashed_process_whose_groups_are_lost_is_not_written_again() {
    // The journal knows a file of four groups, and one of them.
    let mut bed = Bed::new(1);
    bed.bench.run(|cx| bed.upload.restore(cx, &bed.groups, ledger(None, Some(4))));
    assert_eq!(kinds(&bed.early()), ["ReadObject"]);
    bed.found(None);
    assert_eq!(kinds(&bed.resume()), ["ReadBlockHash"]);
    assert_eq!(bed.hash_confirmed(), [], "nothing is journaled or sent");
    assert!(!bed.upload.is_in_progress());
}

#[test]
fn a_confirmed_file_whose_groups_are_lost_is_replaced_only_by_a_longer_one() {
    let mut bed = Bed::new(0);
    bed.bench.run(|cx| bed.upload.restore(cx, &bed.groups, ledger(Some(3), None)));
    for (clean, expected) in [(2, vec![]), (3, vec![]), (4, vec!["ReadBlockHash"])] {
        bed.groups = clean_groups(clean);
        assert_eq!(kinds(&bed.closing()), expected, "{clean} groups");
    }
}

#[test]
fn files_of_a_crashed_process_under_another_hash_are_removed() {
    let mut bed = Bed::new(4);
    bed.upload.disown(ledger(Some(3), None));
    assert!(bed.upload.has_files());
    assert_eq!(kinds(&bed.early()), ["DeleteObject"]);
    let mut bed = Bed::new(4);
    bed.upload.disown(FileLedger::default());
    assert_eq!(kinds(&bed.early()), ["ReadBlockHash"]);
    assert!(!bed.upload.has_files());
}

#[test]
fn pauses_double_four_times_and_differ_between_miners() {
    let mut bed = Bed::new(3);
    bed.closing();
    bed.bench.now_ms = START_MS;
    let mut pauses = Vec::new();
    for attempt in 0..60 {
        bed.bench.settings.hotkey = grail_protocol::signature::Hotkey::from_bytes([attempt; 32]);
        let actions = bed.bench.run(|cx| bed.upload.on_hash_failed(cx, "no answer"));
        let longest_ms = (BLOCK_MS / 24) << attempt.min(4);
        let pause_ms = retry_ms(&actions).unwrap() - START_MS;
        assert!((1..=1 + longest_ms).contains(&pause_ms), "{attempt}: {pause_ms}");
        pauses.push(pause_ms);
        bed.resume();
        assert_eq!(bed.upload.job.as_ref().map(|job| &job.stage), Some(&Stage::Confirming));
    }
    let last = &pauses[4..];
    assert!(
        last.iter().any(|pause_ms| *pause_ms > 6_000) && last.iter().any(|pause_ms| *pause_ms < 2_000),
        "{pauses:?}"
    );
    assert!(last.iter().collect::<BTreeSet<_>>().len() > 50, "{pauses:?}");
}
