//! One window alone: from its hash over the beacon to its groups, its deadline and its receipt.

use super::super::bench::{BLOCK_MS, Bench, WINDOW, kinds, signed_group, window_context};
use super::*;
use crate::answers::{BeaconSchedule, BucketError, Head};
use crate::seal::SealedGroup;

const START_MS: u64 = 1_000;
const END_MS: u64 = START_MS + 30 * BLOCK_MS;
/// A block, and twice the 4 s that an upload is expected to take.
const MARGIN_MS: u64 = BLOCK_MS + 8_000;
const BEACON: &str = "beacon";

struct Bed {
    window: Window,
    recovered: Option<Recovered>,
    bench: Bench,
}

impl Bed {
    fn new() -> Self {
        Self { window: Window::new(WINDOW), recovered: None, bench: Bench::at(WINDOW) }
    }

    /// Returns a window in which work has started.
    fn open() -> Self {
        let mut bed = Self::new();
        bed.bench.settings.use_drand = false;
        bed.hash("0xaa");
        bed
    }

    fn hash(&mut self, hash: &str) -> Vec<Action> {
        self.hash_read(Ok(Some(hash.to_owned())))
    }

    fn hash_read(&mut self, result: Result<Option<String>, ChainError>) -> Vec<Action> {
        self.bench.run(|cx| self.window.on_hash_read(cx, &mut self.recovered, result))
    }

    fn beacon(&mut self, round: u64, result: Result<BeaconRound, BeaconError>) -> Vec<Action> {
        self.bench.run(|cx| self.window.on_beacon_answered(cx, round, result))
    }

    fn advance(&mut self) -> Vec<Action> {
        self.advance_as(false)
    }

    fn advance_as(&mut self, is_unregistered: bool) -> Vec<Action> {
        self.bench.run(|cx| self.window.advance(cx, is_unregistered))
    }

    fn retry(&mut self) -> Vec<Action> {
        self.bench.run(|cx| self.window.retry(cx))
    }

    /// Makes a group clean after those before it. Returns the actions that follow once it is ready.
    fn clean(&mut self, index: u32) -> Vec<Action> {
        self.advance();
        let id = GroupId { window_start: WINDOW, generation: 0, index, attempt: 0 };
        let sealed = SealedGroup { rollouts: signed_group(index), generated: Vec::new().into(), findings: Vec::new() };
        let actions = self.bench.run(|cx| self.window.on_group_ready(cx, id.clone(), sealed));
        self.bench.run(|cx| self.window.groups.on_journaled(cx, &id));
        assert_eq!(self.window.groups.clean_prefix(), index as usize + 1);
        actions
    }

    fn outcome(&self) -> WindowOutcome {
        self.window.receipt(false).outcome
    }
}

fn round(number: u64) -> BeaconRound {
    BeaconRound { round: number, randomness: BEACON.to_owned() }
}

fn gone() -> ChainError {
    ChainError::Unreachable("gone".to_owned())
}

/// Returns the context that is journaled when work starts.
fn context(actions: &[Action]) -> Option<&WindowContext> {
    actions.iter().find_map(|action| match action {
        Action::AppendJournal { record: JournalRecord::Window(context), .. } => Some(context),
        _ => None,
    })
}

#[test]
fn work_starts_once_hash_and_beacon_are_known() {
    let mut bed = Bed::new();
    assert!(!kinds(&bed.advance()).contains(&"Generate".to_owned()));
    let asked = bed.hash("0xaa");
    let [Action::FetchBeacon(number)] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(number, BeaconSchedule::QUICKNET.round_at(1_758_700_800_000 + START_MS));
    assert_eq!(bed.beacon(number - 1, Ok(round(number - 1))), [], "another round was asked for");
    let actions = bed.beacon(number, Ok(round(number)));
    let expected = WindowContext {
        block_hash: "0xaa".to_owned(),
        randomness: window_randomness("0xaa", Some(BEACON)),
        ..window_context()
    };
    assert_eq!(context(&actions), Some(&expected));
    let opened = Report::WindowOpened { window_start: WINDOW, with_beacon: true };
    assert_eq!(actions.last(), Some(&Action::Report(opened)));
    assert_eq!(bed.beacon(number, Ok(round(number))), [], "it is answered once");
    assert!(kinds(&bed.advance()).contains(&"Generate".to_owned()));
    assert!(bed.window.receipt(false).with_beacon);
}

#[test]
fn without_a_beacon_the_hash_alone_is_the_randomness() {
    let mut failed = Bed::new();
    let asked = failed.hash("0xaa");
    let [Action::FetchBeacon(number)] = asked[..] else { panic!("{asked:?}") };
    let failed = failed.beacon(number, Err(BeaconError::Unreachable("gone".to_owned())));
    assert_eq!(kinds(&failed)[0], "Report");
    let mut unwanted = Bed::new();
    unwanted.bench.settings.use_drand = false;
    let mut before_the_first = Bed::new();
    before_the_first.bench.settings.beacon = BeaconSchedule { genesis_s: u64::MAX, period_s: 3 };
    for actions in [failed, unwanted.hash("0xaa"), before_the_first.hash("0xaa")] {
        let context = context(&actions).unwrap();
        assert_eq!((context.use_drand, &context.randomness), (false, &window_randomness("0xaa", None)));
    }
}

#[test]
fn a_hash_that_cannot_be_read_is_asked_for_again_after_an_eighth_of_a_block() {
    for result in [Err(gone()), Ok(None)] {
        let mut bed = Bed::new();
        let actions = bed.hash_read(result);
        let again = Action::SetTimer { timer: Timer::Retry, at_ms: START_MS + BLOCK_MS / 8 };
        assert_eq!(actions.last(), Some(&again));
        assert_eq!(bed.retry(), [Action::ReadBlockHash(WINDOW)]);
        bed.hash("0xaa");
        assert_eq!(bed.retry(), [], "it is known");
    }
}

#[test]
fn an_upload_waits_for_a_hash_that_may_change_and_not_for_one_that_is_final() {
    let mut bed = Bed::open();
    bed.clean(0);
    bed.bench.now_ms = END_MS - MARGIN_MS;
    assert!(kinds(&bed.advance()).contains(&"ReadBlockHash".to_owned()));
    assert_eq!(kinds(&bed.hash_read(Err(gone()))), ["Report", "SetTimer"]);
    assert_eq!(kinds(&bed.retry()), ["ReadBlockHash"]);
    assert!(matches!(bed.outcome(), WindowOutcome::KeptBack(_)), "{:?}", bed.outcome());
    // The block is too deep to be replaced now; one reading shows that, and the next one may fail.
    bed.bench.timing.set_head(crate::answers::Head { number: WINDOW + 28 }, bed.bench.now_ms);
    let mut read = Bed { window: bed.window.clone(), recovered: None, ..Bed::open() };
    read.bench.timing.set_head(crate::answers::Head { number: WINDOW + 28 }, START_MS);
    assert_eq!(kinds(&read.hash("0xaa")), ["AppendJournal"]);
    bed.window.hash = read.window.hash;
    assert_eq!(kinds(&bed.hash_read(Err(gone()))), ["Report", "AppendJournal"]);
}

#[test]
fn a_replaced_block_starts_the_window_anew() {
    let mut bed = Bed::new();
    let asked = bed.hash("0xaa");
    let [Action::FetchBeacon(number)] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(bed.hash("0xaa"), [], "still the same");
    assert_eq!(kinds(&bed.hash("0xbb")), ["Report", "ClearTimer", "FetchBeacon"]);
    bed.beacon(number, Ok(round(number)));
    assert!(kinds(&bed.advance()).contains(&"Generate".to_owned()));
    assert_eq!(kinds(&bed.hash("0xcc")), ["Report", "CancelGroup", "ClearTimer", "FetchBeacon"]);
    assert!(!kinds(&bed.advance()).contains(&"Generate".to_owned()), "the new randomness is not known");
    let receipt = bed.window.receipt(false);
    assert_eq!((receipt.outcome, receipt.reorganisations), (WindowOutcome::Reorganised, 2));
    assert!(!receipt.with_beacon);
    let actions = bed.beacon(number, Ok(round(number)));
    assert_eq!(context(&actions).map(|context| context.block_hash.as_str()), Some("0xcc"));
    // The beacon's answer to a question about a hash that was replaced is none about the new one.
    bed.hash("0xdd");
    bed.bench.settings.use_drand = false;
    bed.hash("0xee");
    assert_eq!(bed.beacon(number, Ok(round(number))), []);
}

fn recovered(block_hash: &str) -> Option<Recovered> {
    let context = WindowContext { block_hash: block_hash.to_owned(), ..window_context() };
    let started =
        |digest: &str| JournalRecord::UploadStarted { window_start: WINDOW, digest: digest.to_owned(), groups: 1 };
    Recovered::from_records(vec![
        JournalRecord::Window(context),
        JournalRecord::Group { window_start: WINDOW, rollouts: signed_group(0) },
        started("aa"),
        JournalRecord::UploadDone { window_start: WINDOW, digest: "aa".to_owned() },
    ])
}

#[test]
fn what_a_crash_left_goes_on_under_the_same_hash_alone() {
    let mut bed = Bed::new();
    bed.recovered = recovered("0xaa");
    let opened = Report::WindowOpened { window_start: WINDOW, with_beacon: true };
    assert_eq!(bed.hash("0xaa"), [Action::Report(opened)], "no other beacon: the groups are of the old one");
    assert!(bed.recovered.is_none());
    let receipt = bed.window.receipt(false);
    assert_eq!((receipt.outcome, receipt.groups_clean, receipt.rollouts_uploaded), (WindowOutcome::Uploaded, 1, 4));
    assert!(receipt.read_back);
    assert_eq!(receipt.digest.as_deref(), Some("aa"));

    let mut bed = Bed::new();
    bed.recovered = recovered("0xaa");
    assert_eq!(kinds(&bed.hash("0xbb")), ["FetchBeacon"]);
    assert!(bed.recovered.is_none());
    assert_eq!(bed.outcome(), WindowOutcome::NothingReady);
    assert!(kinds(&bed.advance()).contains(&"DeleteObject".to_owned()), "no validator may find the old file");
}

#[test]
fn generation_ends_when_the_upload_must_start() {
    let mut bed = Bed::open();
    let deadline = Action::SetTimer { timer: Timer::UploadDeadline, at_ms: END_MS - MARGIN_MS };
    let actions = bed.advance();
    assert_eq!(actions[0], deadline);
    assert_eq!(kinds(&actions), ["SetTimer", "Generate", "SetTimer"]);
    bed.bench.now_ms = END_MS - MARGIN_MS - 1;
    let actions = bed.advance();
    assert_eq!(actions[0], deadline);
    bed.bench.now_ms += 1;
    let ended = ["ClearTimer", "ClearTimer"];
    let actions = kinds(&bed.advance());
    assert!(
        actions.starts_with(&["CancelGroup".to_owned()]) || actions.starts_with(&ended.map(str::to_owned)),
        "{actions:?}"
    );
    assert_eq!(bed.advance(), [], "once");
    // By a head that was false the deadline has not passed.
    bed.bench.now_ms = START_MS;
    assert_eq!(bed.advance(), []);
    bed.window.on_head_lowered();
    assert_eq!(kinds(&bed.advance()), ["SetTimer", "Generate", "SetTimer"]);
}

#[test]
fn a_process_that_must_stop_uploads_and_generates_nothing_else() {
    let mut bed = Bed::open();
    bed.advance();
    bed.bench.stopping = true;
    assert_eq!(kinds(&bed.advance()), ["CancelGroup", "ClearTimer", "ClearTimer"]);
    let mut bed = Bed::open();
    bed.clean(0);
    bed.bench.stopping = true;
    assert!(kinds(&bed.advance()).contains(&"ReadBlockHash".to_owned()));
}

#[test]
fn nothing_is_generated_for_a_hotkey_that_is_not_registered() {
    let mut bed = Bed::open();
    assert_eq!(kinds(&bed.advance_as(true)), ["SetTimer"]);
    assert_eq!(bed.window.receipt(true).outcome, WindowOutcome::NotRegistered);
    assert_eq!(kinds(&bed.advance_as(false)), ["SetTimer", "Generate", "SetTimer"], "registered meanwhile");
}

#[test]
fn the_receipt_says_how_the_window_ended() {
    let mut bed = Bed::open();
    assert_eq!(bed.outcome(), WindowOutcome::NothingReady);
    bed.clean(0);
    let receipt = bed.window.receipt(false);
    assert!(matches!(receipt.outcome, WindowOutcome::Lost(_)), "{receipt:?}");
    assert_eq!((receipt.groups_clean, receipt.groups_uploaded, receipt.read_back), (1, 0, false));
    assert_eq!((receipt.window_start, receipt.reorganisations), (WINDOW, 0));
    bed.bench.now_ms = END_MS - MARGIN_MS;
    bed.advance();
    bed.hash_read(Err(gone()));
    let error = BucketError::Transient("HTTP 503".to_owned());
    assert_eq!(bed.bench.run(|cx| bed.window.upload.on_put_answered(cx, Err(error))), [], "nothing was sent");
    assert!(matches!(bed.outcome(), WindowOutcome::KeptBack(_)));
}

#[test]
fn a_context_that_the_journal_refused_goes_before_the_next_group_and_the_next_file() {
    let mut bed = Bed::open();
    let answer = |bed: &mut Bed, is_durable| {
        bed.bench.run(|cx| bed.window.on_context_journaled(cx, is_durable));
    };
    answer(&mut bed, true);
    assert_eq!(entries(&bed.clean(0)), ["group"]);
    answer(&mut bed, false);
    assert_eq!(entries(&bed.clean(1)), ["window", "group"]);
    bed.bench.now_ms = END_MS - MARGIN_MS;
    bed.advance();
    bed.bench.timing.set_head(Head { number: WINDOW + 28 }, bed.bench.now_ms);
    assert_eq!(entries(&bed.hash("0xaa")), ["window", "file"]);
}

/// Returns what is appended to the journal.
fn entries(actions: &[Action]) -> Vec<&'static str> {
    let entry = |action: &Action| match action {
        Action::AppendJournal { entry: JournalEntry::Window(_), .. } => Some("window"),
        Action::AppendJournal { entry: JournalEntry::Group(_), .. } => Some("group"),
        Action::AppendJournal { entry: JournalEntry::UploadStarted(_), .. } => Some("file"),
        _ => None,
    };
    actions.iter().filter_map(entry).collect()
}
