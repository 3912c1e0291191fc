//! One receipt per window: a line on standard output, and a JSON record in the data folder.

use std::fs::File;
use std::io::{self, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};

use crate::SharedState;
use crate::contract::Schema;
use crate::state::{EndedWindow, MinerState, WindowState};
use grail_folder::{self as folder, FolderError};
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, Report, WindowOutcome, WindowReceipt};
use grail_miner::ports::{BucketError, Now};
use grail_protocol::window_file::object_key;
use grail_terminal::{counted, escaped, printable};
use indicatif::MultiProgress;
use serde_json::{Value, json};

/// How receipts are shown on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFormat {
    /// A line that people read.
    Text,
    /// A JSON object on a line.
    Json,
}

/// Address that validators read, and from which every file is read back.
#[derive(Debug, Clone)]
pub struct ReadFrom {
    /// Server and bucket.
    pub url: String,
    /// Address of the hotkey whose windows are read.
    pub hotkey: String,
    /// Name of the network.
    pub network: String,
}

/// Writes receipts.
pub struct Receipts {
    format: ReceiptFormat,
    read_from: ReadFrom,
    bars: MultiProgress,
    path: PathBuf,
    file: File,
    state: SharedState,
    /// The last window that a defect interrupted.
    interrupted: Option<u64>,
    /// Whether it was said why fewer groups are uploaded than were clean.
    has_explained: bool,
}

impl Receipts {
    /// Receipts on standard output, around whatever `bars` draw, and in `receipts.jsonl` in this folder.
    ///
    /// # Errors
    /// [`FolderError`] if the file cannot be opened.
    pub fn new(
        format: ReceiptFormat,
        data_folder: &Path,
        bars: &MultiProgress,
        read_from: ReadFrom,
        state: SharedState,
    ) -> Result<Self, FolderError> {
        let path = data_folder.join("receipts.jsonl");
        let opened = folder::open(&path, folder::options().append(true).create(true));
        let file = opened.map_err(FolderError::io("open", &path))?;
        Ok(Self { format, read_from, bars: bars.clone(), path, file, state, interrupted: None, has_explained: false })
    }

    /// Gives the current window a receipt that says that a defect stopped the miner. The next start continues the
    /// window and gives it another receipt.
    pub fn interrupted(&mut self, now: Now, why: &str) {
        let state = self.state.read();
        let Some(window) = state.unfinished_window().filter(|window| Some(*window) > self.interrupted) else { return };
        self.interrupted = Some(window);
        let groups_clean = state.window(window).map_or(0, |window| window.sums().groups);
        // Everything but the outcome's name is as in a receipt of the core.
        let receipt = WindowReceipt { groups_clean, ..WindowReceipt::of(window, WindowOutcome::Lost(why.to_owned())) };
        let ended = EndedWindow { receipt, expected_score: Some(0.0) };
        let mut record = record(now, &ended, &state, &self.read_from);
        drop(state);
        record["outcome"] = INTERRUPTED.into();
        let line = format!(
            "window {window}: {INTERRUPTED} with {} clean: {}; the next start continues with it",
            counted(groups_clean, "group"),
            printable(why)
        );
        self.give(record.to_string(), line);
    }

    /// Keeps a receipt, and shows it.
    fn give(&mut self, record: String, line: String) {
        let record = escaped(&record);
        // In one write, so that a line is complete or missing.
        if let Err(error) = self.file.write_all(format!("{record}\n").as_bytes()) {
            tracing::warn!("the receipt cannot be written to {} ({error}); free the disk", self.path.display());
        }
        let shown = match self.format {
            ReceiptFormat::Text => escaped(&line),
            ReceiptFormat::Json => record,
        };
        // A reader that went away must not end the miner.
        self.bars.suspend(|| drop(writeln!(io::stdout(), "{shown}")));
    }
}

impl Observer for Receipts {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, now: Now, action: &Action) {
        let Action::Report(Report::Receipt(receipt)) = action else { return };
        let state = self.state.read();
        let Some(ended) = state.receipts.front() else { return };
        let record = record(now, ended, &state, &self.read_from).to_string();
        let was_resumed = state.resumed == Some(receipt.window_start);
        let url = is_read_here(receipt, &state).then_some(self.read_from.url.as_str());
        drop(state);
        let mut line = text_of(receipt, url, was_resumed);
        let (uploaded, clean) = (receipt.groups_uploaded, receipt.groups_clean);
        if 0 < uploaded && uploaded < clean && !std::mem::replace(&mut self.has_explained, true) {
            line += &format!(
                "\n  ({uploaded} of {clean} groups, since validators check few rollouts of a large file and a small one \
                 whole: {uploaded} are expected to score more than {clean})"
            );
        }
        self.give(record, line);
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

/// Returns a receipt as one line for the operator: an uploaded window with the address at which this process read it, any
/// other one with the command that explains it.
fn text_of(receipt: &WindowReceipt, read_from: Option<&str>, was_resumed: bool) -> String {
    let line = receipt_line(receipt) + &own_late_write(&receipt.outcome, was_resumed);
    match (&receipt.outcome, read_from) {
        (WindowOutcome::Uploaded, Some(url)) => format!("{line}; read from {url}"),
        (WindowOutcome::Uploaded, None) => format!("{line}; that was before the miner was started again"),
        _ => format!("{line}; `grail why {}` tells more", receipt.window_start),
    }
}

/// Returns why a window has no group, as far as this process saw it.
fn why_nothing(receipt: &WindowReceipt, seconds: Option<f64>, stood_still_ms: Option<u64>) -> String {
    let mut why = match seconds {
        Some(seconds) => format!("no group was clean in {seconds:.0} s of mining"),
        None => "this process began no group: it did not know the window's randomness".to_owned(),
    };
    let rejected: u32 = receipt.self_check_rejections.values().sum();
    let attempts = [(receipt.engine_failures, "failed in the engine"), (rejected, "failed the self-check")];
    for (count, what) in attempts.into_iter().filter(|(count, _)| *count > 0) {
        why += &format!("; {} {what}", counted(count, "attempt"));
    }
    let still = stood_still_ms.map(|ms| format!("; the process stood still for {} s", ms / 1000));
    why + &still.unwrap_or_default()
}

/// Returns whether this process read the receipt's file back: one before it may have had another configuration, and so
/// another address.
fn is_read_here(receipt: &WindowReceipt, state: &MinerState) -> bool {
    receipt.read_back && state.window(receipt.window_start).is_some_and(|window| window.is_read_here)
}

/// Explains a file that seems to be another writer's: a process that was killed during an upload may have its file
/// written after its end, and the journal may not name it.
fn own_late_write(outcome: &WindowOutcome, was_resumed: bool) -> String {
    let other_writer = BucketError::ConditionFailed.to_string();
    match outcome {
        WindowOutcome::Lost(why) if was_resumed && why.contains(&other_writer) => LATE_WRITE.to_owned(),
        _ => String::new(),
    }
}

const LATE_WRITE: &str = "; the miner was started again in this window, so this may be its own late write: stop a second \
                          miner only if `grail doctor` names one";

/// Returns a receipt in one line.
pub fn receipt_line(receipt: &WindowReceipt) -> String {
    let WindowReceipt { window_start: window, groups_clean: clean, groups_uploaded, rollouts_uploaded, .. } = receipt;
    match &receipt.outcome {
        WindowOutcome::Uploaded => format!(
            "window {window}: uploaded {groups_uploaded} of {} ({}), read back, {} to spare",
            counted(clean, "group"),
            counted(rollouts_uploaded, "rollout"),
            slack_seconds(receipt).map_or_else(|| "unknown time".to_owned(), |slack| format!("{slack} s"))
        ),
        WindowOutcome::KeptBack(why) => {
            format!("window {window}: {} kept back: {}", counted(clean, "group"), printable(why))
        }
        WindowOutcome::NothingReady => format!("window {window}: nothing ready in time"),
        WindowOutcome::NotRegistered => format!("window {window}: the hotkey is not registered"),
        WindowOutcome::Reorganised => format!("window {window}: its first block was replaced, and no time was left"),
        WindowOutcome::Lost(why) => format!("window {window}: {} LOST: {}", counted(clean, "group"), printable(why)),
    }
}

/// The outcome of a window in which a defect ended the miner.
pub const INTERRUPTED: &str = "interrupted";

fn record(now: Now, ended: &EndedWindow, state: &MinerState, read_from: &ReadFrom) -> Value {
    let EndedWindow { receipt, expected_score } = ended;
    let window = state.window(receipt.window_start);
    let sums = window.map(WindowState::sums).unwrap_or_default();
    let seconds = window.and_then(|window| window.seconds_open(now.monotonic_ms));
    let is_uploaded = receipt.outcome == WindowOutcome::Uploaded;
    let address = || format!("{}/{}", read_from.url, object_key(&read_from.hotkey, receipt.window_start));
    let why = match &receipt.outcome {
        WindowOutcome::KeptBack(why) | WindowOutcome::Lost(why) => {
            Some(why.clone() + &own_late_write(&receipt.outcome, state.resumed == Some(receipt.window_start)))
        }
        WindowOutcome::NothingReady => Some(why_nothing(receipt, seconds, state.stood_still_ms(receipt.window_start))),
        _ => None,
    };
    json!({
        "schema": Schema::Receipt.id(),
        "record": "window",
        "hotkey": read_from.hotkey,
        "network": read_from.network,
        "window": receipt.window_start,
        "ended_at": now.wall_ms as f64 / 1000.0,
        "outcome": receipt.outcome.name(),
        "why": why,
        "groups_clean": receipt.groups_clean,
        "groups_uploaded": receipt.groups_uploaded,
        "rollouts_uploaded": receipt.rollouts_uploaded,
        "slack_seconds": slack_seconds(receipt),
        "read_back": receipt.read_back,
        "address": is_read_here(receipt, state).then(address),
        "sha256": receipt.digest,
        "with_beacon": receipt.with_beacon,
        "self_check_rejections": receipt.self_check_rejections,
        "engine_failures": receipt.engine_failures,
        "reorganisations": receipt.reorganisations,
        "rollouts_clean": sums.rollouts,
        "rollouts_solved": sums.successes,
        "tokens": sums.tokens,
        "seconds": seconds,
        "reward_mean": (sums.rollouts > 0).then(|| sums.reward / sums.rollouts as f64),
        "expected_score": expected_score,
        "remedy": (!is_uploaded).then(|| format!("grail why {}", receipt.window_start)),
    })
}

fn slack_seconds(receipt: &WindowReceipt) -> Option<f64> {
    receipt.slack_ms.map(|slack_ms| slack_ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use grail_miner::machine::JournalEntry;
    use grail_miner::ports::{Head, JournalRecord};

    use super::*;
    use crate::StateObserver;

    fn receipt(outcome: WindowOutcome) -> WindowReceipt {
        WindowReceipt { groups_clean: 3, with_beacon: true, ..WindowReceipt::of(90, outcome) }
    }

    fn place() -> ReadFrom {
        ReadFrom {
            url: "https://store.example/mine".to_owned(),
            hotkey: "5abc".to_owned(),
            network: "custom".to_owned(),
        }
    }

    fn record_of(mut state: MinerState, receipt: WindowReceipt) -> Value {
        let now = Now::default();
        state.action(now, &Action::Report(Report::Receipt(receipt)));
        record(now, state.receipts.front().unwrap(), &state, &place())
    }

    #[test]
    fn every_window_that_was_not_uploaded_names_the_command_that_says_why() {
        let outcomes = [
            WindowOutcome::KeptBack("a hash".to_owned()),
            WindowOutcome::NothingReady,
            WindowOutcome::NotRegistered,
            WindowOutcome::Reorganised,
            WindowOutcome::Lost("a bucket".to_owned()),
        ];
        for outcome in outcomes {
            let receipt = receipt(outcome);
            let line = text_of(&receipt, None, false);
            assert!(line.ends_with("; `grail why 90` tells more"), "{line}");
            let reason = (receipt.outcome == WindowOutcome::NothingReady).then_some("this process began no group");
            let record = record_of(MinerState::new(12_000), receipt);
            assert!(reason.is_none_or(|reason| record["why"].as_str().unwrap().starts_with(reason)), "{record}");
            assert_eq!((&record["remedy"], &record["expected_score"]), (&"grail why 90".into(), &0.0.into()));
            assert_eq!(record["address"], serde_json::Value::Null, "nothing was read there");
        }
    }

    #[test]
    fn a_window_that_was_uploaded_names_the_address_that_validators_read() {
        let uploaded = WindowReceipt { read_back: true, ..receipt(WindowOutcome::Uploaded) };
        let line = text_of(&uploaded, Some(&place().url), false);
        assert!(line.ends_with("; read from https://store.example/mine") && !line.contains("grail why"), "{line}");
        assert!(line.contains("3 groups (0 rollouts), read back, unknown time to spare"), "{line}");
        let done = JournalRecord::UploadDone { window_start: 90, digest: String::new() };
        let mut state = MinerState::new(12_000);
        state.event(Now::default(), &Event::Started(vec![done.clone()]), true);
        let before = record_of(state.clone(), uploaded.clone());
        assert_eq!((&before["hotkey"], &before["network"]), (&"5abc".into(), &"custom".into()));
        assert_eq!(before["address"], serde_json::Value::Null, "a process before this one read it");
        state.action(Now::default(), &Action::AppendJournal { entry: JournalEntry::UploadDone(90), record: done });
        let record = record_of(state, uploaded);
        assert_eq!(record["address"], "https://store.example/mine/grail/windows/5abc-window-90.json.gz");
    }

    #[test]
    fn a_window_without_a_group_says_what_was_tried() {
        let mut empty = receipt(WindowOutcome::NothingReady);
        assert_eq!(why_nothing(&empty, Some(36.2), None), "no group was clean in 36 s of mining");
        (empty.engine_failures, empty.self_check_rejections) = (1, [("x".to_owned(), 2)].into());
        let why = "no group was clean in 36 s of mining; 1 attempt failed in the engine; 2 attempts failed the \
                   self-check; the process stood still for 35 s";
        assert_eq!(why_nothing(&empty, Some(36.2), Some(35_900)), why);
    }

    #[test]
    fn another_writer_after_a_restart_may_be_the_miner_itself() {
        let lost = |why: &str| receipt(WindowOutcome::Lost(why.to_owned()));
        let changed = BucketError::ConditionFailed.to_string();
        let line = text_of(&lost(&changed), None, true);
        assert!(line.contains("run one miner per hotkey; the miner was started again in this window"), "{line}");
        assert!(!text_of(&lost(&changed), None, false).contains("late write"));
        assert!(!text_of(&lost("503"), None, true).contains("late write"));
        let mut state = MinerState::new(12_000);
        state.resumed = Some(90);
        let record = record_of(state, lost(&changed));
        assert!(record["why"].as_str().unwrap().contains("its own late write"), "{record}");
    }

    #[test]
    fn a_window_is_interrupted_once_and_one_that_has_its_receipt_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let bars = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut observer = StateObserver::new(12_000, Box::new(|| false));
        let mut receipts = Receipts::new(ReceiptFormat::Json, folder.path(), &bars, place(), observer.state()).unwrap();
        let now = Now { monotonic_ms: 0, wall_ms: 7_000 };
        let reached = |number| Event::HeadMoved(Head { number });
        let over = Action::Report(Report::Receipt(WindowReceipt::of(60, WindowOutcome::NothingReady)));
        receipts.interrupted(now, "no block has come");
        observer.event(now, &reached(65));
        observer.action(now, &over);
        receipts.action(now, &over);
        observer.event(now, &reached(89));
        receipts.interrupted(now, "it is over");
        observer.event(now, &reached(90));
        receipts.interrupted(now, "a thread panicked");
        observer.event(now, &reached(91));
        receipts.interrupted(now, "it has its receipt");
        let text = std::fs::read_to_string(folder.path().join("receipts.jsonl")).unwrap();
        let kept: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let outcomes: Vec<_> = kept.iter().map(|record| (&record["window"], &record["outcome"])).collect();
        assert_eq!(outcomes, [(&60.into(), &"nothing_ready".into()), (&90.into(), &INTERRUPTED.into())]);
        assert_eq!((&kept[1]["why"], &kept[1]["remedy"]), (&"a thread panicked".into(), &"grail why 90".into()));
    }
}
