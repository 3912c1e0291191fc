//! The journal's records of the window in which the previous process ended.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use grail_protocol::group::SignedGroup;
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

use super::ledger::FileLedger;
use super::receipt::{WindowOutcome, WindowReceipt};
use crate::answers::JournalRecord;

/// State that a crashed process left in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recovered {
    pub(super) context: WindowContext,
    pub(super) groups: BTreeMap<u32, SignedGroup>,
    pub(super) ledger: FileLedger,
    /// Its receipt was given.
    closed: bool,
}

impl Recovered {
    /// Returns the last window in the journal; groups count only under the context that precedes them.
    pub(super) fn from_records(records: Vec<JournalRecord>) -> Option<Self> {
        let mut recovered: Option<Self> = None;
        for record in records {
            match (record, &mut recovered) {
                // It was journaled again, since the journal had refused it.
                (JournalRecord::Window(context), Some(last)) if last.context == context => {}
                // A window has a second context if its first block was replaced. What was journaled under the first one
                // is worthless.
                (JournalRecord::Window(context), _) => {
                    recovered =
                        Some(Self { context, groups: BTreeMap::new(), ledger: FileLedger::default(), closed: false });
                }
                (JournalRecord::Group { window_start, rollouts }, Some(last))
                    if last.window_start() == window_start =>
                {
                    if let Some(first) = rollouts.first() {
                        last.groups.insert(first.rollout_group, rollouts);
                    }
                }
                (JournalRecord::WindowClosed { window_start }, Some(last)) => {
                    last.closed |= last.window_start() == window_start;
                }
                (
                    record @ (JournalRecord::UploadStarted { window_start, .. }
                    | JournalRecord::UploadDone { window_start, .. }
                    | JournalRecord::UploadAbandoned { window_start, .. }),
                    Some(last),
                ) if last.window_start() == window_start => last.ledger.restore(record),
                _ => {}
            }
        }
        recovered
    }

    pub(super) const fn window_start(&self) -> u64 {
        self.context.window_start
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns the receipt of this window as it is now; `why` it is lost.
    pub(super) fn receipt(&self, why: &str) -> WindowReceipt {
        let done = self.ledger.newest_done();
        let groups_uploaded = done.map_or(0, |done| done.groups);
        let outcome = match (done, self.groups.len()) {
            (Some(_), _) => WindowOutcome::Uploaded,
            (None, 0) => WindowOutcome::NothingReady,
            (None, _) => WindowOutcome::Lost(why.to_owned()),
        };
        WindowReceipt {
            groups_clean: self.groups.len(),
            groups_uploaded,
            rollouts_uploaded: groups_uploaded * PROTOCOL.rollouts_per_group,
            read_back: done.is_some(),
            digest: done.map(|done| done.digest.clone()),
            with_beacon: self.context.use_drand,
            ..WindowReceipt::of(self.window_start(), outcome)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{signed_group, window_context};
    use super::*;

    fn window(window_start: u64) -> JournalRecord {
        JournalRecord::Window(WindowContext { window_start, ..window_context() })
    }

    fn started(window_start: u64) -> JournalRecord {
        JournalRecord::UploadStarted { window_start, digest: "aa".to_owned(), groups: 2 }
    }

    #[test]
    fn only_the_last_window_is_recovered_and_only_by_its_own_records() {
        assert!(Recovered::from_records(Vec::new()).is_none());
        let records =
            vec![window(30), started(30), window(60), started(30), JournalRecord::WindowClosed { window_start: 30 }];
        let recovered = Recovered::from_records(records).unwrap();
        assert_eq!((recovered.window_start(), recovered.is_closed()), (60, false));
        assert!(recovered.ledger.is_empty());
    }

    #[test]
    fn its_receipt_says_what_the_journal_proves() {
        let outcome =
            |records: Vec<JournalRecord>| Recovered::from_records(records).unwrap().receipt("it crashed").outcome;
        assert_eq!(outcome(vec![window(30)]), WindowOutcome::NothingReady);
        assert_eq!(outcome(vec![window(30), started(30)]), WindowOutcome::NothingReady, "no group is in the journal");
        let done = JournalRecord::UploadDone { window_start: 30, digest: "aa".to_owned() };
        let records = vec![window(30), started(30), done];
        assert_eq!(outcome(records.clone()), WindowOutcome::Uploaded);
        let receipt = Recovered::from_records(records).unwrap().receipt("it crashed");
        assert_eq!((receipt.groups_uploaded, receipt.rollouts_uploaded, receipt.with_beacon), (2, 8, true));
    }

    #[test]
    fn groups_count_under_the_context_before_them_and_files_by_their_own_window() {
        let group = |window_start, index| JournalRecord::Group { window_start, rollouts: signed_group(index) };
        let done = JournalRecord::UploadDone { window_start: 300, digest: "aa".to_owned() };
        let closed = JournalRecord::WindowClosed { window_start: 300 };
        let records = vec![
            group(300, 7),
            window(300),
            group(270, 0),
            group(300, 1),
            started(270),
            started(300),
            done,
            closed,
            JournalRecord::WindowClosed { window_start: 270 },
        ];
        let recovered = Recovered::from_records(records).unwrap();
        assert_eq!(recovered.groups.keys().copied().collect::<Vec<_>>(), [1]);
        assert!(recovered.is_closed());
        let receipt = recovered.receipt("it crashed");
        assert_eq!((receipt.groups_clean, receipt.read_back, receipt.digest.as_deref()), (1, true, Some("aa")));
        // A second context of the window: its first block was replaced.
        let JournalRecord::Window(mut context) = window(300) else { unreachable!() };
        context.block_hash = format!("0x{}", "cd".repeat(32));
        let replaced = JournalRecord::Window(context);
        let again = Recovered::from_records(vec![window(300), group(300, 1), started(300), replaced]).unwrap();
        assert!(again.groups.is_empty() && again.ledger.is_empty());
        // The same context again: a disk that was full had refused it before.
        let same = [group(300, 1), window(300), group(300, 1), window(300), group(300, 2)];
        let recovered = Recovered::from_records(same.to_vec()).unwrap();
        assert_eq!(recovered.groups.keys().copied().collect::<Vec<_>>(), [1, 2]);
        let lost = Recovered::from_records(vec![window(300), group(300, 0)]).unwrap().receipt("it crashed");
        assert_eq!((lost.outcome, lost.read_back), (WindowOutcome::Lost("it crashed".to_owned()), false));
    }
}
