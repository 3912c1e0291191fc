//! An oracle over receipts: their numbers must be those of the events and actions, counted from outside the machine.

use std::collections::BTreeMap;

use grail_miner::machine::{Action, Event, JournalEntry, WindowOutcome, WindowReceipt};
use grail_miner::ports::JournalRecord;
use grail_protocol::PROTOCOL;
use grail_protocol::rollout::WindowContext;

/// What one process has seen of the windows that have no receipt yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receipts {
    windows: BTreeMap<u64, Counts>,
    /// The highest block that was announced.
    head: u64,
    /// Whether a lower one came later: a window may have been opened under a false head, and again under the true one.
    went_back: bool,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    /// Findings of the self-check.
    rejections: u32,
    /// Failed answers of the engine. Groups that never came count in a receipt as well.
    engine_failures: u32,
    /// The context that was journaled last.
    context: Option<WindowContext>,
    /// Groups that are durable.
    clean: usize,
    /// The hash of its first block as it was read last.
    hash: Option<String>,
    /// Whether another one was read before: groups under that one do not count, and an answer does not say under which hash
    /// it was asked.
    is_replaced: bool,
    /// How often it was replaced before the window's end.
    replaced: u32,
    /// Groups of each file, by digest.
    files: BTreeMap<String, usize>,
    /// The newest file that was read back.
    done: Option<String>,
    /// A file was sent that holds no more than the one that was read back.
    is_sent_again: bool,
}

impl Receipts {
    fn of(&mut self, window_start: u64) -> &mut Counts {
        self.windows.entry(window_start).or_default()
    }

    fn record(&mut self, record: &JournalRecord) {
        match record {
            JournalRecord::Window(context) => {
                let counts = self.of(context.window_start);
                if counts.context.as_ref() != Some(context) {
                    // What was journaled before is of another hash.
                    counts.clean = 0;
                    counts.done = None;
                    counts.context = Some(context.clone());
                }
            }
            JournalRecord::UploadStarted { window_start, digest, groups } => {
                let counts = self.of(*window_start);
                let before = counts.done.as_ref().and_then(|done| counts.files.get(done));
                counts.is_sent_again |= before.is_some_and(|before| before >= groups);
                counts.files.insert(digest.clone(), *groups);
            }
            JournalRecord::UploadDone { window_start, digest } => {
                self.of(*window_start).done = Some(digest.clone());
            }
            JournalRecord::UploadAbandoned { window_start, digest, .. } => {
                self.of(*window_start).done.take_if(|done| done == digest);
            }
            _ => {}
        }
    }

    /// Takes note of an action.
    pub(crate) fn action(&mut self, action: &Action) {
        if let Action::AppendJournal { record, .. } = action {
            self.record(record);
        }
    }

    /// Takes note of an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Started(records) => {
                *self = Self::default();
                for record in records {
                    self.record(record);
                    if let JournalRecord::Group { window_start, .. } = record {
                        self.of(*window_start).clean += 1;
                    }
                }
            }
            Event::HeadMoved(head) => {
                self.went_back |= head.number < self.head;
                self.head = self.head.max(head.number);
            }
            Event::GroupReady { group, sealed } => {
                self.of(group.window_start).rejections += sealed.findings.len() as u32;
            }
            Event::GroupFailed { group, .. } => self.of(group.window_start).engine_failures += 1,
            Event::BlockHashRead { block, result: Ok(Some(hash)) } => {
                let is_over = self.went_back || self.head >= block + PROTOCOL.window_blocks;
                let counts = self.of(*block);
                let before = counts.hash.replace(hash.clone());
                let is_another = before.is_some_and(|before| before != *hash);
                counts.is_replaced |= is_another;
                counts.replaced += u32::from(is_another && !is_over);
            }
            Event::JournalAnswered { entry: JournalEntry::Group(group), .. } => {
                self.of(group.window_start).clean += 1;
            }
            _ => {}
        }
    }

    /// Returns the violation in a window's receipt, if any.
    pub(crate) fn settle(&mut self, receipt: &WindowReceipt) -> Option<String> {
        let start = receipt.window_start;
        let counts = self.windows.remove(&start).unwrap_or_default();
        self.windows = self.windows.split_off(&start);
        // A window of which no block was seen has no context, and is lost; after a false head it may have one.
        let is_lost = matches!(receipt.outcome, WindowOutcome::Lost(_) | WindowOutcome::KeptBack(_));
        if is_lost && receipt.groups_clean == 0 && counts.context.is_some() && !self.went_back {
            return Some(format!("{start} is {:?}, and nothing was clean", receipt.outcome));
        }
        let is_uploaded = receipt.outcome == WindowOutcome::Uploaded;
        if receipt.digest != counts.done {
            return Some(format!("{start} has another file in its receipt than the newest that was read back"));
        }
        if counts.is_sent_again {
            return Some(format!("{start} was uploaded again with no more groups"));
        }
        let rejections: u32 = receipt.self_check_rejections.values().sum();
        let beacon = counts.context.as_ref().filter(|_| !self.went_back).map(|context| context.use_drand);
        let file = receipt.digest.as_ref().and_then(|digest| counts.files.get(digest));
        // What was said, and what was seen, if that is known.
        let rollouts = receipt.groups_uploaded * PROTOCOL.rollouts_per_group;
        let compared: [(&str, usize, Option<usize>); 8] = [
            ("rejections", rejections as usize, Some(counts.rejections as usize)),
            ("rounds of the beacon", receipt.with_beacon.into(), beacon.map(usize::from)),
            ("clean groups", receipt.groups_clean, Some(counts.clean).filter(|_| !counts.is_replaced)),
            ("groups in its file", receipt.groups_uploaded, file.copied()),
            ("rollouts in its file", receipt.rollouts_uploaded, Some(rollouts)),
            ("files that were read back", receipt.read_back.into(), Some(is_uploaded.into())),
            // Two lower bounds: groups that never came count as failures, and a block may be replaced after a false head.
            at_least("failures of the engine", receipt.engine_failures, counts.engine_failures),
            at_least("replaced blocks", receipt.reorganisations, counts.replaced),
        ];
        compared.into_iter().find_map(|(what, said, seen)| {
            let seen = seen.filter(|seen| *seen != said)?;
            Some(format!("{start} has {said} {what} in its receipt, and {seen} were seen"))
        })
    }
}

/// A number that may be larger than what was seen.
fn at_least(what: &str, said: u32, seen: u32) -> (&str, usize, Option<usize>) {
    (what, said as usize, Some(seen as usize).filter(|_| said < seen))
}
