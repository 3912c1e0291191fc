//! Receipts of windows that are over: given at once where everything is known, and otherwise after one more look at the
//! bucket. A window that a crash interrupted gets its receipt from the process that starts next.

use grail_protocol::PROTOCOL;
use grail_protocol::window_file::object_key;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::event::JournalEntry;
use super::ledger::{self, Ledger};
use super::receipt::{Area, Report, WindowOutcome, WindowReceipt};
use super::upload::Attempts;
use super::view::View;
use super::window::Recovered;
use super::{Actions, Machine, trouble};
use crate::answers::{BucketError, Etag, JournalRecord};
use crate::behaviour::Behaviour;
use crate::mutants::{Mutant, planted};

/// Missed windows that get a receipt: those of a day.
const MISSED_WINDOWS_MAX: u64 = 240;
/// Why a missed window is lost.
pub(super) const MISSED_WHY: &str =
    "no block of this window was seen; the chain could not be reached, or this machine stood still";

/// Failed looks at the bucket after which a receipt is given as things stand.
const LOOKS_MAX: u32 = 5;

/// A window that is over and has a pending upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Unsettled {
    /// The receipt if the pending file is not in the bucket.
    receipt: WindowReceipt,
    ledger: Ledger,
    looks: u32,
    /// A look, or the upload itself, is not answered yet.
    waiting: bool,
    /// The digest of something that is none of our files.
    #[serde(default)]
    strange: Option<String>,
    /// What failed after the window's end.
    #[serde(default, skip_serializing_if = "Attempts::is_empty")]
    late: Attempts,
}

impl Unsettled {
    /// Whether this is the file whose fate is not known.
    fn shows_pending(&self, found: Option<&(String, Etag)>) -> bool {
        self.ledger.pending().is_some_and(|pending| found.is_some_and(|(digest, _)| *digest == pending.digest))
    }

    pub(super) fn describe(&self, view: &mut View) {
        let Self { receipt, ledger, looks, waiting, strange, late } = self;
        view.line("unsettled.window", receipt.window_start);
        view.line("unsettled.outcome", format!("{:?}", receipt.outcome));
        view.line("unsettled.looks", looks);
        view.line("unsettled.waiting", waiting);
        view.line_if_some("unsettled.strange", strange.as_deref());
        late.describe("unsettled", view);
        ledger.describe("unsettled", view);
    }
}

impl Machine {
    /// Give a window's receipt, now or once its pending upload is known to be there or not. While the upload itself is
    /// still in flight nobody can look.
    pub(super) fn give_receipt(&mut self, receipt: WindowReceipt, ledger: Ledger, in_flight: bool, out: &mut Actions) {
        self.give_unsettled(out);
        if let Some(pending) = ledger.pending().filter(|_| planted(Mutant::PendingCountsAsDone)) {
            let (outcome, digest) = (WindowOutcome::Uploaded, Some(pending.digest.clone()));
            return give(WindowReceipt { outcome, digest, ..receipt }, out);
        }
        if ledger.pending().is_none() {
            give(receipt, out);
            return;
        }
        self.marks.sometimes("window-ends-with-a-pending-upload");
        self.unsettled =
            Some(Unsettled { receipt, ledger, looks: 0, waiting: in_flight, strange: None, late: Attempts::default() });
        self.read_unsettled(out);
    }

    /// The upload that was in flight when its window ended is over, however it went.
    pub(super) fn late_upload_answered(
        &mut self,
        window_start: u64,
        result: Result<Etag, BucketError>,
        out: &mut Actions,
    ) {
        let is_asked = |unsettled: &Unsettled| unsettled.receipt.window_start == window_start;
        if let Some(unsettled) = self.unsettled.as_mut().filter(|unsettled| is_asked(unsettled)) {
            unsettled.waiting = false;
            if let Err(error) = result {
                unsettled.late.bucket_failed(&error);
            }
            self.read_unsettled(out);
        }
    }

    /// Look at the bucket, once at a time.
    pub(super) fn read_unsettled(&mut self, out: &mut Actions) {
        let hotkey = self.config.hotkey.to_ss58();
        let Some(unsettled) = self.unsettled.as_mut().filter(|unsettled| !unsettled.waiting) else { return };
        unsettled.waiting = true;
        let window_start = unsettled.receipt.window_start;
        out.push(Action::ReadObject { window_start, key: object_key(&hotkey, window_start) });
    }

    /// What the read key finds in the place of a window that is over.
    pub(super) fn late_object_read(
        &mut self,
        window_start: u64,
        result: Result<Option<(String, Etag)>, BucketError>,
        out: &mut Actions,
    ) {
        let is_asked = |unsettled: &Unsettled| unsettled.receipt.window_start == window_start;
        let is_awaited = self.config.behaviours.contains(&Behaviour::HiddenWriteIsAwaited);
        let Some(unsettled) = self.unsettled.as_mut().filter(|unsettled| is_asked(unsettled)) else { return };
        match result {
            Ok(Some((digest, _)))
                if !unsettled.ledger.knows(&digest) && unsettled.strange.as_ref() != Some(&digest) =>
            {
                // Bytes may be altered on their way; what another writer wrote is the same when it is read again.
                unsettled.strange = Some(digest);
                self.look_again(out);
            }
            // It may have been written and not be visible yet, or be on its way.
            Ok(found) if is_awaited && unsettled.looks + 1 < LOOKS_MAX && !unsettled.shows_pending(found.as_ref()) => {
                self.marks.sometimes("pending-file-does-not-show-at-once");
                self.look_again(out);
            }
            Ok(found) => {
                let done = found.and_then(|(digest, _)| unsettled.ledger.done(window_start, &digest, out));
                unsettled.ledger.abandon_pending(window_start, ledger::NOT_THERE, out);
                if let Some(entry) = done.filter(|entry| unsettled.receipt.digest.as_ref() != Some(&entry.digest)) {
                    let receipt = &mut unsettled.receipt;
                    receipt.outcome = WindowOutcome::Uploaded;
                    receipt.groups_uploaded = entry.groups;
                    receipt.rollouts_uploaded = entry.groups * PROTOCOL.rollouts_per_group;
                    receipt.read_back = true;
                    receipt.slack_ms = None;
                    receipt.digest = Some(entry.digest);
                }
                self.give_unsettled(out);
            }
            Err(error) => {
                unsettled.late.bucket_failed(&error);
                out.push(trouble(Area::Bucket, error));
                self.look_again(out);
            }
        }
    }

    /// A look told nothing: another one follows with the next head, up to a number of them.
    fn look_again(&mut self, out: &mut Actions) {
        let Some(unsettled) = self.unsettled.as_mut() else { return };
        unsettled.waiting = false;
        unsettled.looks += 1;
        if unsettled.looks >= LOOKS_MAX || self.stopping {
            self.give_unsettled(out);
        }
    }

    /// Give a receipt to every window from `from` on that passed before `until` without a block of it being seen.
    pub(super) fn give_missed(&mut self, from: u64, until: u64, out: &mut Actions) {
        if from >= until || !self.config.behaviours.contains(&Behaviour::MissedWindowsHaveReceipts) {
            return;
        }
        let is_unregistered = self.account.is_unregistered();
        let from = from.max(until.saturating_sub(MISSED_WINDOWS_MAX * PROTOCOL.window_blocks));
        for start in (from..until).step_by(PROTOCOL.window_blocks as usize) {
            // What a crash interrupted gets its receipt from `close_recovered`.
            let is_recovered = self.recovered.as_ref().is_some_and(|recovered| recovered.window_start() == start);
            if is_recovered || self.head_check.has_ended(start) {
                continue;
            }
            self.marks.sometimes("window-is-missed");
            self.note_ended(start);
            let outcome =
                if is_unregistered { WindowOutcome::NotRegistered } else { WindowOutcome::Lost(MISSED_WHY.to_owned()) };
            out.push(Action::Report(Report::Receipt(WindowReceipt::of(start, outcome))));
        }
    }

    /// Give the receipt of a window that a crash interrupted and that is over by now.
    pub(super) fn close_recovered(&mut self, start: u64, out: &mut Actions) {
        if let Some(recovered) = self.recovered.take_if(|recovered| recovered.window_start() != start) {
            self.settle_recovered(recovered, "the miner was not running when the window ended", out);
        }
    }

    /// Give the receipt of a window that ends before its hash told whether what a crash left of it is of this chain;
    /// false where nothing was left.
    pub(super) fn close_unconfirmed(&mut self, start: u64, out: &mut Actions) -> bool {
        let is_told_once = self.config.behaviours.contains(&Behaviour::UnconfirmedWindowEndsOnce);
        let recovered = self.recovered.take_if(|recovered| is_told_once && recovered.window_start() == start);
        let Some(recovered) = recovered else { return false };
        self.marks.sometimes("recovered-window-ends-before-its-hash-is-known");
        self.settle_recovered(recovered, "the hash of its first block could not be read after a restart", out);
        true
    }

    fn settle_recovered(&mut self, recovered: Recovered, why: &str, out: &mut Actions) {
        self.note_ended(recovered.window_start());
        if recovered.is_closed() && !planted(Mutant::ReceiptTwice) {
            return;
        }
        self.marks.sometimes("recovered-window-is-over");
        let (context, groups_clean, ledger) = recovered.into_parts();
        let done = ledger.newest_done();
        let groups_uploaded = done.map_or(0, |done| done.groups);
        let outcome = match (done, groups_clean) {
            (Some(_), _) => WindowOutcome::Uploaded,
            (None, 0) => WindowOutcome::NothingReady,
            (None, _) => WindowOutcome::Lost(why.to_owned()),
        };
        let receipt = WindowReceipt {
            groups_clean,
            groups_uploaded,
            rollouts_uploaded: groups_uploaded * PROTOCOL.rollouts_per_group,
            read_back: done.is_some(),
            digest: done.map(|done| done.digest.clone()),
            with_beacon: context.use_drand,
            ..WindowReceipt::of(context.window_start, outcome)
        };
        self.give_receipt(receipt, ledger, false, out);
    }

    fn give_unsettled(&mut self, out: &mut Actions) {
        let Some(Unsettled { mut receipt, late, .. }) = self.unsettled.take() else { return };
        let is_told = self.config.behaviours.contains(&Behaviour::OutcomeFollowsFromAttempts);
        if let (WindowOutcome::Lost(why), Some(failures)) = (&mut receipt.outcome, late.bucket().filter(|_| is_told)) {
            why.push_str("; after the window's end ");
            why.push_str(&failures);
        }
        give(receipt, out);
    }
}

fn give(receipt: WindowReceipt, out: &mut Actions) {
    let window_start = receipt.window_start;
    out.push(Action::Report(Report::Receipt(receipt)));
    out.push(Action::AppendJournal {
        entry: JournalEntry::WindowClosed(window_start),
        record: JournalRecord::WindowClosed { window_start },
    });
}
