//! One window: its block hash, its randomness, its groups, its upload, its end.

#[cfg(test)]
mod tests;

use grail_protocol::PROTOCOL;
use grail_protocol::randomness::window_randomness;
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::event::{GroupId, JournalEntry, Timer};
use super::groups::Groups;
use super::hash::{Hash, HashAnswer};
use super::receipt::{Area, Report, WindowOutcome, WindowReceipt};
use super::recovered::Recovered;
use super::upload::Upload;
use crate::answers::{BeaconError, BeaconRound, ChainError, JournalRecord};
use crate::decisions;
use crate::seal::SealedGroup;

/// State of the current window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) hash: Hash,
    /// The round that was asked for and is not answered yet.
    beacon_round: Option<u64>,
    context: Option<WindowContext>,
    pub(super) groups: Groups,
    pub(super) upload: Upload,
    /// The deadline has passed: generation has ended.
    closing: bool,
    /// The journal refused the context, and has not taken it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_context_refused: bool,
}

impl Window {
    /// Creates a window without any state yet.
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            hash: Hash::new(start),
            beacon_round: None,
            context: None,
            groups: Groups::new(start),
            upload: Upload::new(start),
            closing: false,
            is_context_refused: false,
        }
    }

    pub(super) fn on_hash_read(
        &mut self,
        cx: &mut Context<'_>,
        recovered: &mut Option<Recovered>,
        result: Result<Option<String>, ChainError>,
    ) {
        match self.hash.on_read(cx, result) {
            HashAnswer::First(hash) => self.hash_known(cx, recovered, hash),
            HashAnswer::Same => self.pack(cx),
            HashAnswer::Replaced(hash) => {
                self.reorganised(cx);
                self.hash_known(cx, recovered, hash);
            }
            // It was read when it was final, so the upload need not wait for another reading.
            HashAnswer::Unreadable(_) if self.hash.is_final() => self.pack(cx),
            HashAnswer::Unreadable(_) if self.hash.known().is_none() => {
                // 1.5 s at a block time of 12 s: public nodes answer about one question a second.
                cx.set_timer_after(Timer::Retry, cx.settings.block_ms / 8);
            }
            HashAnswer::Unreadable(why) => {
                cx.sometimes("block-hash-is-not-confirmed-in-time");
                self.upload.on_hash_failed(cx, &why);
            }
        }
    }

    fn hash_known(&mut self, cx: &mut Context<'_>, recovered: &mut Option<Recovered>, hash: String) {
        if let Some(recovered) = recovered.take() {
            // Groups of another hash answer other problems; a validator rejects each of them.
            if recovered.context.block_hash == hash {
                cx.sometimes("recovered-window-goes-on");
                self.groups.restore(recovered.groups);
                self.upload.restore(cx, &self.groups, recovered.ledger);
                self.opened(cx, recovered.context);
                return;
            }
            cx.sometimes("recovered-window-is-of-another-hash");
            self.upload.disown(recovered.ledger);
        }
        // Any round that is due will do: validators take the randomness from the file.
        let round = cx.settings.beacon.round_at(cx.now.wall_ms);
        if cx.settings.use_drand && round > 0 {
            self.beacon_round = Some(round);
            cx.push(Action::FetchBeacon(round));
        } else {
            self.begin(cx, None);
        }
    }

    pub(super) fn on_beacon_answered(
        &mut self,
        cx: &mut Context<'_>,
        round: u64,
        result: Result<BeaconRound, BeaconError>,
    ) {
        // The first block was replaced after this round was asked for.
        if self.beacon_round != Some(round) {
            return;
        }
        self.beacon_round = None;
        match result {
            Ok(round) => self.begin(cx, Some(&round.randomness)),
            Err(error) => {
                // Validators accept the block hash alone. Without a relay the Python miner uses random bytes of its
                // own.
                cx.sometimes("no-beacon");
                cx.trouble(Area::Beacon, error);
                self.begin(cx, None);
            }
        }
    }

    /// The randomness is known: work can start.
    fn begin(&mut self, cx: &mut Context<'_>, beacon: Option<&str>) {
        let Some(block_hash) = self.hash.known().map(str::to_owned) else { return };
        let context = WindowContext {
            hotkey: cx.settings.hotkey,
            window_start: self.start,
            randomness: window_randomness(&block_hash, beacon),
            block_hash,
            use_drand: beacon.is_some(),
        };
        // Before any group, since the journal counts groups under the context before them.
        journal_context(cx, &context);
        self.opened(cx, context);
    }

    /// The journal has answered about a context.
    pub(super) fn on_context_journaled(&mut self, cx: &Context<'_>, is_durable: bool) {
        self.is_context_refused = !is_durable && cx.settings.decisions.contains(decisions::CONTEXT_AGAIN);
    }

    /// A disk that was full at the window's beginning may take the context now. Without it a file that was sent would be
    /// unknown after a crash, and the receipt would say that nothing was ready.
    fn journal_context_again(&self, cx: &mut Context<'_>) {
        if let Some(context) = self.context.as_ref().filter(|_| self.is_context_refused) {
            cx.sometimes("refused-context-is-journaled-again");
            journal_context(cx, context);
        }
    }

    pub(super) fn on_group_ready(&mut self, cx: &mut Context<'_>, group: GroupId, sealed: SealedGroup) {
        self.journal_context_again(cx);
        self.groups.on_ready(cx, group, sealed);
    }

    /// The hash is the same as before: a file that waits for that can be packed.
    fn pack(&mut self, cx: &mut Context<'_>) {
        self.journal_context_again(cx);
        self.upload.on_hash_confirmed(cx, &self.hash, &self.groups);
    }

    fn opened(&mut self, cx: &mut Context<'_>, context: WindowContext) {
        cx.push(Action::Report(Report::WindowOpened {
            window_start: context.window_start,
            with_beacon: context.use_drand,
        }));
        self.context = Some(context);
    }

    /// The first block was replaced: everything made under the old hash is worthless.
    fn reorganised(&mut self, cx: &mut Context<'_>) {
        cx.sometimes("block-is-reorganised-away");
        let text = format!("block {} was replaced; the window's work begins anew under its new hash", self.start);
        cx.trouble(Area::Chain, text);
        self.groups.abandon(cx);
        self.upload.on_reorganised(cx);
        self.context = None;
        self.beacon_round = None;
    }

    /// The head that the deadline was counted from was false: a deadline that has passed by it has not passed.
    pub(super) const fn on_head_lowered(&mut self) {
        self.closing = false;
    }

    /// Stops generating once the upload must start; until then keeps the timer on that moment.
    pub(super) fn watch_deadline(&mut self, cx: &mut Context<'_>) {
        if self.closing {
            return;
        }
        // The deadline moves with block time and with the expected size of the file.
        let at_ms = cx.upload_ms(self.start, self.groups.file_expected(cx.settings.policy));
        if cx.stopping || at_ms <= cx.now_ms() {
            self.closing = true;
            self.groups.cancel_all(cx);
            cx.push(Action::ClearTimer(Timer::UploadDeadline));
            cx.push(Action::ClearTimer(Timer::Groups));
        } else {
            cx.push(Action::SetTimer { timer: Timer::UploadDeadline, at_ms });
        }
    }

    /// Everything that follows from the state and the time.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, is_unregistered: bool) {
        // The deadline comes first: what has passed it must not order another group.
        self.watch_deadline(cx);
        self.groups.supervise(cx);
        let generates = !cx.stopping && !is_unregistered && !self.closing;
        if let Some(context) = self.context.as_ref().filter(|_| generates) {
            let deadline_ms = cx.upload_ms(self.start, self.groups.file_expected(cx.settings.policy));
            self.groups.order(cx, context, deadline_ms);
        }
        self.upload.advance(cx, &mut self.hash, &self.groups, self.context.is_some(), self.closing);
    }

    /// The retry timer fired: continues everything that waits for it.
    pub(super) fn retry(&mut self, cx: &mut Context<'_>) {
        if self.hash.known().is_none() {
            self.hash.read(cx);
        }
        self.upload.resume(cx, &mut self.hash);
    }

    /// Returns the window's receipt as it is now.
    pub(super) fn receipt(&self, is_unregistered: bool) -> WindowReceipt {
        let uploaded = self.upload.confirmed();
        WindowReceipt {
            window_start: self.start,
            outcome: self.outcome(is_unregistered),
            groups_clean: self.groups.clean_count(),
            groups_uploaded: uploaded.map_or(0, |uploaded| uploaded.groups),
            rollouts_uploaded: uploaded.map_or(0, |uploaded| uploaded.groups * PROTOCOL.rollouts_per_group),
            slack_ms: uploaded.and_then(|uploaded| uploaded.slack_ms),
            read_back: uploaded.is_some(),
            digest: uploaded.map(|uploaded| uploaded.digest.clone()),
            self_check_rejections: self.groups.rejections().clone(),
            engine_failures: self.groups.engine_failures(),
            reorganisations: self.groups.generation(),
            with_beacon: self.context.as_ref().is_some_and(|context| context.use_drand),
        }
    }

    fn outcome(&self, is_unregistered: bool) -> WindowOutcome {
        // Failures after a confirmed upload change nothing: validators read the confirmed file.
        if self.upload.confirmed().is_some() {
            WindowOutcome::Uploaded
        } else if is_unregistered {
            WindowOutcome::NotRegistered
        } else if self.groups.clean_prefix() > 0 {
            self.upload.failure()
        } else if self.groups.generation() > 0 {
            WindowOutcome::Reorganised
        } else {
            WindowOutcome::NothingReady
        }
    }
}

fn journal_context(cx: &mut Context<'_>, context: &WindowContext) {
    cx.push(Action::AppendJournal {
        entry: JournalEntry::Window(context.window_start),
        record: JournalRecord::Window(context.clone()),
    });
}
