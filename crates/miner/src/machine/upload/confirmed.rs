//! What of a window was confirmed, and what would be worth more.

use super::super::choice::Choice;
use super::super::ledger::{self, Entry, Ledger};
use super::super::window::Window;
use super::{Actions, Confirmed};
use crate::policy::{UploadPolicy, is_more};

impl Window {
    /// The choice of groups that is worth more than what was confirmed.
    pub(super) fn better_choice(&mut self, policy: UploadPolicy) -> Option<Choice> {
        let available = self.groups.clean_prefix();
        if available != self.upload.considered {
            self.upload.considered = available;
            self.upload.choice = self.choose(policy, available);
        }
        let better = |choice: &Choice| match &self.upload.confirmed {
            None => choice.groups > 0,
            Some(confirmed) => is_more(choice.worth, confirmed.worth),
        };
        self.upload.choice.filter(better)
    }

    /// Take over what a crashed process knew of this window's files.
    pub(in crate::machine) fn restore_upload(&mut self, policy: UploadPolicy, ledger: Ledger) {
        let done = ledger.newest_done().cloned();
        self.upload.ledger = ledger;
        if let Some(done) = done {
            self.confirmed(policy, &done, None);
        }
    }

    /// Another file than the one that was to be written is there, and it is ours; the groups in it.
    pub(super) fn confirm_older(&mut self, policy: UploadPolicy, digest: &str, out: &mut Actions) -> Option<usize> {
        let found = self.upload.ledger.done(self.start, digest, out);
        if let Some(entry) = &found {
            let slack_ms = self.upload.confirmed.as_ref().filter(|known| known.digest == digest);
            let slack_ms = slack_ms.and_then(|known| known.slack_ms);
            self.confirmed(policy, entry, slack_ms);
        }
        self.upload.ledger.abandon_pending(self.start, ledger::NOT_THERE, out);
        found.map(|entry| entry.groups)
    }

    pub(super) fn confirmed(&mut self, policy: UploadPolicy, entry: &Entry, slack_ms: Option<u64>) {
        let Entry { digest, groups, .. } = entry.clone();
        let worth = self.worth_of(policy, groups);
        self.upload.confirmed = Some(Confirmed { groups, digest, slack_ms, worth });
    }
}
