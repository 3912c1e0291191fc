//! The upload of a window alone: its stages, its conditions, when it starts.

mod failures;

use grail_protocol::python_json::Value;
use grail_protocol::window_file::unpack_object;

use super::super::bench::{BLOCK_MS, Bench, WINDOW, clean_groups, kinds, timer_ms};
use super::super::receipt::WindowOutcome;
use super::*;
use crate::answers::{ChainError, JournalRecord};

const HASH: &str = "0xaa";
/// The first block is ten blocks deep and twenty are left.
const HEAD: u64 = WINDOW + 10;
const START_MS: u64 = 1_000;
const END_MS: u64 = START_MS + 20 * BLOCK_MS;
/// Expected time of an upload of which nothing is known.
const TAKES_MS: u64 = 4_000;

struct Bed {
    upload: Upload,
    hash: Hash,
    groups: Groups,
    bench: Bench,
}

impl Bed {
    /// Returns a window with so many clean groups whose hash is final.
    fn new(clean: u32) -> Self {
        let mut bench = Bench::at(HEAD);
        let mut hash = Hash::new(WINDOW);
        for _ in 0..2 {
            bench.run(|cx| drop(hash.on_read(cx, Ok(Some(HASH.to_owned())))));
        }
        Self { upload: Upload::new(WINDOW), hash, groups: clean_groups(clean), bench }
    }

    fn advance(&mut self, is_closing: bool) -> Vec<Action> {
        self.bench.run(|cx| self.upload.advance(cx, &mut self.hash, &self.groups, true, is_closing))
    }

    fn early(&mut self) -> Vec<Action> {
        self.advance(false)
    }

    fn closing(&mut self) -> Vec<Action> {
        self.advance(true)
    }

    fn hash_confirmed(&mut self) -> Vec<Action> {
        self.bench.run(|cx| {
            self.hash.on_read(cx, Ok(Some(HASH.to_owned())));
            self.upload.on_hash_confirmed(cx, &self.hash, &self.groups);
        })
    }

    fn journaled(&mut self) -> Vec<Action> {
        self.bench.run(|cx| self.upload.on_journaled(cx))
    }

    fn answered(&mut self, result: Result<&str, BucketError>) -> Vec<Action> {
        self.bench.run(|cx| self.upload.on_put_answered(cx, result.map(etag)))
    }

    /// The read key finds this file, or nothing.
    fn found(&mut self, digest: Option<&str>) -> Vec<Action> {
        self.read(Ok(digest.map(|digest| (digest.to_owned(), etag("read")))))
    }

    fn read(&mut self, result: Result<Option<(String, Etag)>, BucketError>) -> Vec<Action> {
        self.bench.run(|cx| self.upload.on_object_read(cx, &self.groups, result))
    }

    fn deleted(&mut self, result: Result<(), BucketError>) -> Vec<Action> {
        self.bench.run(|cx| self.upload.on_object_deleted(cx, result))
    }

    fn reorganised(&mut self) -> Vec<Action> {
        self.bench.run(|cx| self.upload.on_reorganised(cx))
    }

    /// Lets the time pass that the upload waits, and continues.
    fn resume(&mut self) -> Vec<Action> {
        self.bench.run(|cx| self.upload.resume(cx, &mut self.hash))
    }

    /// Starts an upload at the window's end and gets as far as the write. Returns its condition and its digest.
    fn put(&mut self) -> (PutCondition, String) {
        assert_eq!(kinds(&self.closing()), ["ReadBlockHash"]);
        self.put_confirmed()
    }

    fn put_confirmed(&mut self) -> (PutCondition, String) {
        assert_eq!(kinds(&self.hash_confirmed()), ["AppendJournal"]);
        let actions = self.journaled();
        let [Action::Upload { window_start: WINDOW, bytes, condition, .. }] = &actions[..] else {
            panic!("{actions:?}")
        };
        (condition.clone(), hex::encode(Sha256::digest(bytes)))
    }

    /// Uploads and confirms what is clean. Returns the digest.
    fn uploaded(&mut self) -> String {
        let (_, digest) = self.put();
        assert_eq!(kinds(&self.answered(Ok("written"))), ["ReadObject"]);
        assert_eq!(kinds(&self.found(Some(&digest))), ["AppendJournal"]);
        digest
    }

    fn confirmed(&self) -> Option<usize> {
        self.upload.confirmed().map(|confirmed| confirmed.groups)
    }

    fn outcome(&self) -> String {
        match self.upload.failure() {
            WindowOutcome::Lost(why) => format!("lost: {why}"),
            WindowOutcome::KeptBack(why) => format!("kept back: {why}"),
            other => panic!("{other:?}"),
        }
    }
}

fn etag(version: &str) -> Etag {
    Etag(version.to_owned())
}

fn transient() -> BucketError {
    BucketError::Transient("HTTP 503".to_owned())
}

fn unknown() -> BucketError {
    BucketError::Unknown("timeout".to_owned())
}

/// Returns when the retry timer fires.
fn retry_ms(actions: &[Action]) -> Option<u64> {
    timer_ms(actions, Timer::Retry)
}

#[test]
fn a_file_is_journaled_then_written_then_read_back() {
    let mut bed = Bed::new(3);
    assert_eq!(bed.closing(), [Action::ReadBlockHash(WINDOW)]);
    assert_eq!(bed.closing(), [], "one upload at a time");
    let actions = bed.hash_confirmed();
    let [Action::AppendJournal { record: JournalRecord::UploadStarted { groups: 3, digest, .. }, .. }] = &actions[..]
    else {
        panic!("{actions:?}")
    };
    assert!(bed.upload.has_files() && !bed.upload.put_in_flight());
    let actions = bed.journaled();
    let [Action::Upload { key, bytes, condition: PutCondition::Absent, limit_ms, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert!(key.ends_with("-window-300.json.gz"), "{key}");
    assert_eq!(&hex::encode(Sha256::digest(bytes)), digest);
    let file = unpack_object(bytes).unwrap();
    assert_eq!(file.get("timestamp"), Some(&Value::Float(1_758_700_801.0)), "in seconds");
    assert_eq!(file.get("inference_count").and_then(Value::as_integral), Some(12));
    assert_eq!(*limit_ms, 2 * BLOCK_MS, "four times what is expected is less than two blocks");
    assert!(bed.upload.put_in_flight() && bed.upload.is_in_progress());
    assert_eq!(bed.journaled(), [], "the append is answered once");
    bed.bench.now_ms += 2_000;
    assert_eq!(kinds(&bed.answered(Ok("1"))), ["ReadObject"]);
    assert_eq!(bed.confirmed(), None, "nobody has read it back");
    let actions = bed.found(Some(digest));
    assert!(
        matches!(&actions[..], [Action::AppendJournal { record: JournalRecord::UploadDone { .. }, .. }]),
        "{actions:?}"
    );
    let confirmed = bed.upload.confirmed().unwrap();
    assert_eq!((confirmed.groups, confirmed.slack_ms), (3, Some(END_MS - START_MS - 2_000)));
    assert!(!bed.upload.is_in_progress());
    // The upload took 2 s; a fall counts a quarter.
    let bench = &bed.bench;
    assert_eq!(bench.timing.upload_takes_ms(3, &bench.settings, bench.now_ms), 3_500);
    assert_eq!(bed.upload.into_ledger().newest_done().map(|file| file.groups), Some(3));
}

#[test]
fn a_write_may_take_four_times_what_is_expected_and_never_beyond_the_window_s_end() {
    let limit_ms = |prepare: fn(&mut Bed)| {
        let mut bed = Bed::new(3);
        prepare(&mut bed);
        bed.closing();
        bed.hash_confirmed();
        let Some(Action::Upload { limit_ms, .. }) = bed.journaled().pop() else { panic!("no upload") };
        limit_ms
    };
    // 4 s rise by half of what 16 s are more.
    let slow = |bed: &mut Bed| bed.bench.timing.note_upload(16_000, 3, START_MS);
    assert_eq!(limit_ms(slow), 4 * 10_000);
    assert_eq!(limit_ms(|bed| bed.bench.now_ms = END_MS - 5), 5);
    assert_eq!(limit_ms(|bed| bed.bench.settings.block_ms = 500), 4 * TAKES_MS);
    let fast = |bed: &mut Bed| {
        bed.bench.settings.block_ms = 500;
        bed.bench.timing = super::super::timing::Timing::new(&bed.bench.settings);
        bed.bench.timing.set_head(crate::answers::Head { number: HEAD }, START_MS);
    };
    assert_eq!(limit_ms(fast), 2_000, "no network answers faster than that");
}

#[test]
fn every_write_after_the_first_replaces_only_the_version_that_is_known() {
    let mut bed = Bed::new(3);
    bed.uploaded();
    bed.groups = clean_groups(4);
    let (condition, digest) = bed.put();
    assert_eq!(condition, PutCondition::Matches(etag("read")));
    bed.answered(Ok("2"));
    bed.found(Some(&digest));
    assert_eq!(bed.confirmed(), Some(4));
    // What is removed leaves nothing to replace.
    assert_eq!(kinds(&bed.reorganised()), ["ClearTimer"]);
    assert_eq!(kinds(&bed.closing()), ["DeleteObject"]);
    bed.deleted(Ok(()));
    assert_eq!(bed.put().0, PutCondition::Absent);
}

#[test]
fn a_file_is_written_again_only_if_it_is_worth_more() {
    let mut bed = Bed::new(0);
    assert_eq!(bed.closing(), [], "nothing is clean");
    bed.groups = clean_groups(5);
    bed.uploaded();
    assert_eq!(bed.closing(), []);
    bed.groups = clean_groups(6);
    assert_eq!(bed.closing(), [], "validators check as much of five groups as of six");
    bed.bench.settings.policy = crate::policy::UploadPolicy::All;
    bed.groups = clean_groups(7);
    assert_eq!(kinds(&bed.closing()), ["ReadBlockHash"]);
}

#[test]
fn early_uploads_keep_their_distance() {
    let mut bed = Bed::new(3);
    assert_eq!(kinds(&bed.early()), ["ReadBlockHash"], "the first one at once");
    let (_, digest) = bed.put_confirmed();
    bed.bench.now_ms += 3_000;
    bed.answered(Ok("1"));
    bed.found(Some(&digest));
    bed.groups = clean_groups(4);
    bed.bench.now_ms = START_MS + 59_999;
    assert_eq!(bed.early(), []);
    bed.bench.now_ms = START_MS + 60_000;
    assert_eq!(kinds(&bed.early()), ["ReadBlockHash"]);
}

#[test]
fn nothing_is_uploaded_early_under_a_hash_that_may_change_or_if_it_is_not_wanted() {
    let mut bed = Bed::new(3);
    bed.bench.now_ms = 100_000;
    bed.hash = Hash::new(WINDOW);
    assert_eq!(bed.early(), []);
    let mut bed = Bed::new(3);
    bed.bench.now_ms = 100_000;
    bed.bench.settings.early_upload_ms = None;
    assert_eq!(bed.early(), []);
    assert_eq!(kinds(&bed.closing()), ["ReadBlockHash"]);
}

#[test]
fn an_early_upload_must_be_over_before_the_last_one_starts() {
    // The last one starts a block and twice its expected time before the end.
    let last_ms = END_MS - BLOCK_MS - 2 * TAKES_MS;
    for (now_ms, expected) in [(last_ms - TAKES_MS, 1), (last_ms - TAKES_MS + 1, 0)] {
        let mut bed = Bed::new(3);
        bed.bench.now_ms = now_ms;
        assert_eq!(bed.early().len(), expected, "{now_ms}");
    }
}

#[test]
fn nothing_is_started_once_the_window_is_over_or_before_it_is_open() {
    let mut bed = Bed::new(3);
    assert_eq!(bed.bench.run(|cx| bed.upload.advance(cx, &mut bed.hash, &bed.groups, false, true)), []);
    bed.bench.now_ms = END_MS;
    assert_eq!(bed.closing(), []);
    bed.bench.now_ms = END_MS - 1;
    assert_eq!(kinds(&bed.closing()), ["ReadBlockHash"]);
}

#[test]
fn no_file_is_packed_before_its_block_is_too_deep_to_be_replaced() {
    let mut bed = Bed::new(3);
    bed.hash = Hash::new(WINDOW);
    bed.bench.run(|cx| drop(bed.hash.on_read(cx, Ok(Some(HASH.to_owned())))));
    bed.closing();
    let actions = Bench::at(WINDOW + 5).run(|cx| {
        bed.hash.on_read(cx, Ok(Some(HASH.to_owned())));
        bed.upload.on_hash_confirmed(cx, &bed.hash, &bed.groups);
    });
    let at_ms = retry_ms(&actions).unwrap();
    assert!((START_MS + 1..=START_MS + 1 + BLOCK_MS / 24).contains(&at_ms), "{at_ms}");
    assert!(!bed.upload.has_files());
    assert_eq!(kinds(&bed.resume()), ["ReadBlockHash"]);
    assert_eq!(bed.resume(), [], "it does not wait any more");
    assert_eq!(kinds(&bed.hash_confirmed()), ["AppendJournal"]);
    assert_eq!(bed.hash_confirmed(), [], "another reading of the hash is none of the upload's");
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut bed = Bed::new(3);
    assert_eq!((bed.answered(Ok("1")), bed.found(None), bed.deleted(Ok(()))), (vec![], vec![], vec![]));
    let digest = bed.uploaded();
    assert_eq!((bed.answered(Ok("1")), bed.found(Some(&digest)), bed.resume()), (vec![], vec![], vec![]));
    bed.groups = clean_groups(4);
    bed.closing();
    assert_eq!((bed.answered(Ok("1")), bed.found(Some(&digest)), bed.deleted(Ok(()))), (vec![], vec![], vec![]));
    assert_eq!((bed.journaled(), bed.resume()), (vec![], vec![]));
}

#[test]
fn after_a_reorganisation_what_was_written_is_removed_once_no_write_is_in_flight() {
    let mut bed = Bed::new(3);
    bed.reorganised();
    assert_eq!(kinds(&bed.closing()), ["ReadBlockHash"], "nothing was written");
    bed.put_confirmed();
    bed.answered(Err(unknown()));
    assert_eq!(kinds(&bed.reorganised()), ["ClearTimer"], "what waits is given up");
    let mut bed = Bed::new(3);
    bed.put();
    assert_eq!(bed.reorganised(), []);
    assert_eq!(bed.closing(), [], "the write is answered first");
    assert_eq!(bed.answered(Ok("1")), []);
    // Even before the new hash is known.
    assert_eq!(
        kinds(&bed.bench.run(|cx| bed.upload.advance(cx, &mut bed.hash, &bed.groups, false, false))),
        ["DeleteObject"]
    );
    let actions = bed.deleted(Err(transient()));
    assert_eq!(kinds(&actions), ["Report", "SetTimer"]);
    // Worthless work is removed however late it is.
    bed.bench.now_ms = END_MS;
    assert_eq!(kinds(&bed.resume()), ["DeleteObject"]);
    assert_eq!(kinds(&bed.deleted(Err(transient()))), ["Report", "SetTimer"]);
    bed.resume();
    assert_eq!(kinds(&bed.deleted(Ok(()))), ["AppendJournal"]);
    bed.bench.now_ms = END_MS - 1;
    assert_eq!(kinds(&bed.closing()), ["ReadBlockHash"]);
}

#[test]
fn a_confirmed_file_under_a_replaced_hash_counts_no_more() {
    let mut bed = Bed::new(3);
    bed.uploaded();
    bed.reorganised();
    assert_eq!(bed.confirmed(), None);
    bed.closing();
    bed.deleted(Ok(()));
    bed.bench.now_ms += 1;
    bed.uploaded();
    assert_eq!(bed.confirmed(), Some(3), "the same groups are uploaded again");
}

#[test]
fn uploads_too_late_for_validators_are_not_tried() {
    let mut bed = Bed::new(3);
    bed.put();
    bed.bench.now_ms = END_MS;
    assert_eq!(kinds(&bed.answered(Err(transient()))), ["Report", "AppendJournal"]);
    assert!(!bed.upload.is_in_progress());
    assert_eq!(bed.outcome(), "lost: the bucket failed once: HTTP 503");
    let mut bed = Bed::new(3);
    bed.put();
    bed.bench.now_ms = END_MS - 1_000;
    assert_eq!(kinds(&bed.answered(Err(transient()))), ["Report", "AppendJournal", "SetTimer"]);
    assert!(bed.upload.is_in_progress());
}

#[test]
fn a_chain_error_is_the_hash_s_alone() {
    let mut bed = Bed::new(3);
    bed.closing();
    let gone = ChainError::Unreachable("gone".to_owned());
    bed.bench.run(|cx| drop(bed.hash.on_read(cx, Err(gone))));
    assert!(bed.hash.is_final());
    // It was read when nothing could replace it any more.
    assert_eq!(kinds(&bed.bench.run(|cx| bed.upload.on_hash_confirmed(cx, &bed.hash, &bed.groups))), ["AppendJournal"]);
}
