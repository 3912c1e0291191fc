//! What the journal tells of the window in which the process before this one ended.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::receipt::{WindowOutcome, WindowReceipt};
use super::view::{View, ranges};
use crate::answers::JournalRecord;
use crate::group::SignedGroup;

/// What a crashed process left behind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recovered {
    pub(super) context: WindowContext,
    pub(super) groups: BTreeMap<u32, SignedGroup>,
    pub(super) ledger: Ledger,
    /// Its receipt was given.
    closed: bool,
}

impl Recovered {
    /// The last window in the journal; groups count only under the context that precedes them.
    pub(super) fn from_records(records: Vec<JournalRecord>) -> Option<Self> {
        let mut recovered: Option<Self> = None;
        for record in records {
            match (record, &mut recovered) {
                (JournalRecord::Window(context), _) => {
                    recovered =
                        Some(Self { context, groups: BTreeMap::new(), ledger: Ledger::default(), closed: false });
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

    /// The receipt of this window if nothing more becomes of it; `why` it is lost.
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

    pub(super) fn describe(&self, view: &mut View) {
        let Self { context, groups, ledger, closed } = self;
        view.line("recovered.window", context.window_start);
        view.line("recovered.groups", groups.len());
        view.line("recovered.indices", ranges(groups.keys().copied()));
        view.line("recovered.closed", closed);
        ledger.describe("recovered", view);
    }
}
