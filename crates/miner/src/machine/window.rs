//! One window: its block hash, its randomness, its end.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use grail_protocol::randomness::window_randomness;
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::event::{JournalEntry, Timer};
use super::groups::Groups;
use super::ledger::Ledger;
use super::receipt::{Area, Report, WindowOutcome, WindowReceipt};
use super::upload::Upload;
use super::view::{View, ranges};
use super::{Actions, Machine, trouble};
use crate::answers::{BeaconError, BeaconRound, ChainError, JournalRecord, Now};
use crate::group::SignedGroup;
use crate::mutants::{Mutant, planted};

/// What is known of the current window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) start: u64,
    /// How often the first block was replaced; work of an earlier generation is worthless.
    pub(super) generation: u32,
    hash: Option<String>,
    hash_being_read: bool,
    /// The hash was read when the first block was too deep to be replaced.
    pub(super) hash_final: bool,
    beacon_round: Option<u64>,
    pub(super) context: Option<WindowContext>,
    pub(super) groups: Groups,
    pub(super) upload: Upload,
    /// The deadline has passed: nothing is generated any more.
    pub(super) closing: bool,
}

/// What a crashed process left behind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recovered {
    context: WindowContext,
    groups: BTreeMap<u32, SignedGroup>,
    ledger: Ledger,
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
                    if last.context.window_start == window_start =>
                {
                    if let Some(first) = rollouts.first() {
                        last.groups.insert(first.rollout_group, rollouts);
                    }
                }
                (JournalRecord::WindowClosed { window_start }, Some(last)) => {
                    last.closed |= last.context.window_start == window_start;
                }
                (
                    record @ (JournalRecord::UploadStarted { window_start, .. }
                    | JournalRecord::UploadDone { window_start, .. }
                    | JournalRecord::UploadAbandoned { window_start, .. }),
                    Some(last),
                ) if last.context.window_start == window_start => last.ledger.restore(record),
                _ => {}
            }
        }
        recovered
    }
}

impl Window {
    /// Whether the hash of its first block was read, so that work on it may have begun.
    pub(super) const fn has_hash(&self) -> bool {
        self.hash.is_some()
    }

    pub(super) fn describe(&self, view: &mut View) {
        let Self {
            start,
            generation,
            hash,
            hash_being_read,
            hash_final,
            beacon_round,
            context,
            groups,
            upload,
            closing,
        } = self;
        view.line("window.start", start);
        view.line("window.generation", generation);
        view.line_if_some("window.hash", hash.as_ref());
        view.line("window.hash_being_read", hash_being_read);
        view.line("window.hash_final", hash_final);
        view.line_if_some("window.beacon_round", *beacon_round);
        if let Some(WindowContext { hotkey: _, window_start: _, randomness, block_hash, use_drand }) = context {
            view.line("window.context", block_hash);
            view.line("window.randomness", randomness);
            view.line("window.with_beacon", use_drand);
        }
        view.line("window.closing", closing);
        groups.describe(view);
        upload.describe(view);
    }
}

impl Recovered {
    pub(super) fn describe(&self, view: &mut View) {
        let Self { context, groups, ledger, closed } = self;
        view.line("recovered.window", context.window_start);
        view.line("recovered.groups", groups.len());
        view.line("recovered.indices", ranges(groups.keys().copied()));
        view.line("recovered.closed", closed);
        ledger.describe("recovered", view);
    }

    pub(super) const fn window_start(&self) -> u64 {
        self.context.window_start
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The context, how many groups are clean, and the files.
    pub(super) fn into_parts(self) -> (WindowContext, usize, Ledger) {
        (self.context, self.groups.len(), self.ledger)
    }
}

impl Machine {
    pub(super) fn open_window(&mut self, start: u64, out: &mut Actions) {
        self.close_recovered(start, out);
        self.window = Some(Window {
            start,
            generation: 0,
            hash: None,
            hash_being_read: false,
            hash_final: false,
            beacon_round: None,
            context: None,
            groups: Groups::default(),
            upload: Upload::default(),
            closing: false,
        });
        out.push(Action::ClearTimer(Timer::Retry));
        // First, as it holds up generation, and public nodes answer one question a second.
        self.read_hash(out);
        self.check_account(out);
    }

    /// Ask for the first block's hash, once at a time.
    pub(super) fn read_hash(&mut self, out: &mut Actions) {
        if let Some(window) = self.window.as_mut().filter(|window| !window.hash_being_read) {
            window.hash_being_read = true;
            out.push(Action::ReadBlockHash(window.start));
        }
    }

    /// While the first block may still be replaced, each new head is a reason to look at it again.
    pub(super) fn confirm_young_hash(&mut self, head: u64, out: &mut Actions) {
        if self.window.as_ref().is_some_and(|window| !window.hash_final && head >= window.start) {
            self.read_hash(out);
        }
    }

    pub(super) fn block_hash_read(
        &mut self,
        now: Now,
        block: u64,
        result: Result<Option<String>, ChainError>,
        out: &mut Actions,
    ) {
        let head = self.timing.head().unwrap_or(0);
        let final_from = block.saturating_add(self.config.reorganisation_blocks_max);
        let Some(window) = self.window.as_mut().filter(|window| window.start == block) else {
            return;
        };
        window.hash_being_read = false;
        match result {
            Ok(Some(hash)) => match &window.hash {
                Some(known) if *known == hash => {
                    window.hash_final |= head >= final_from;
                    self.hash_confirmed(now, out);
                }
                Some(_) if planted(Mutant::ReorganisationIgnored) => {
                    window.hash_final |= head >= final_from;
                    self.hash_confirmed(now, out);
                }
                Some(_) => self.reorganised(now, hash, out),
                None => self.hash_known(now, hash, out),
            },
            Ok(None) => self.hash_unreadable(now, "the chain endpoint does not know the block", out),
            Err(error) => {
                let why = error.to_string();
                out.push(trouble(Area::Chain, error));
                self.hash_unreadable(now, &why, out);
            }
        }
    }

    fn hash_unreadable(&mut self, now: Now, why: &str, out: &mut Actions) {
        let Some(window) = &self.window else { return };
        if window.hash_final {
            // It was read when nothing could replace it any more; the upload need not wait for another reading.
            self.hash_confirmed(now, out);
        } else if window.hash.is_none() {
            let at_ms = now.monotonic_ms + self.config.block_ms / 8;
            out.push(Action::SetTimer { timer: Timer::Retry, at_ms });
        } else {
            self.marks.sometimes("block-hash-is-not-confirmed-in-time");
            self.confirmation_failed(now, why, out);
        }
    }

    fn hash_known(&mut self, now: Now, hash: String, out: &mut Actions) {
        let Some(window) = self.window.as_mut() else { return };
        window.hash = Some(hash.clone());
        window.hash_final |= planted(Mutant::HashNotReadAgain);
        if let Some(Recovered { context, groups, ledger, .. }) = self.recovered.take() {
            if context.block_hash == hash || planted(Mutant::RecoveredUnderAnyHash) {
                self.marks.sometimes("recovered-window-goes-on");
                window.groups.restore(groups);
                window.restore_upload(self.config.policy, ledger);
                report_opened(&context, out);
                window.context = Some(context);
                return;
            }
            self.marks.sometimes("recovered-window-is-of-another-hash");
            window.upload.disown(ledger);
        }
        let round = self.config.beacon.round_at(now.wall_ms);
        if self.config.use_drand && round > 0 {
            window.beacon_round = Some(round);
            out.push(Action::FetchBeacon(round));
        } else {
            self.begin(None, out);
        }
    }

    pub(super) fn beacon_answered(&mut self, round: u64, result: Result<BeaconRound, BeaconError>, out: &mut Actions) {
        let Some(window) = self.window.as_mut().filter(|window| window.beacon_round == Some(round)) else {
            return;
        };
        window.beacon_round = None;
        match result {
            Ok(round) => self.begin(Some(&round.randomness), out),
            Err(error) => {
                self.marks.sometimes("no-beacon");
                out.push(trouble(Area::Beacon, error));
                if !planted(Mutant::BeaconFailureStops) {
                    self.begin(None, out);
                }
            }
        }
    }

    /// The randomness is known: work can begin.
    fn begin(&mut self, beacon: Option<&str>, out: &mut Actions) {
        let hotkey = self.config.hotkey;
        let Some(window) = self.window.as_mut() else { return };
        let Some(block_hash) = window.hash.clone() else { return };
        let context = WindowContext {
            hotkey,
            window_start: window.start,
            randomness: window_randomness(&block_hash, beacon),
            block_hash,
            use_drand: beacon.is_some(),
        };
        out.push(Action::AppendJournal {
            entry: JournalEntry::Window(window.start),
            record: JournalRecord::Window(context.clone()),
        });
        report_opened(&context, out);
        window.context = Some(context);
    }

    /// The first block was replaced: everything made under the old hash is worthless.
    fn reorganised(&mut self, now: Now, hash: String, out: &mut Actions) {
        let Some(window) = self.window.as_mut() else { return };
        self.marks.sometimes("block-is-reorganised-away");
        let text = format!("block {} was replaced; the window's work begins anew under its new hash", window.start);
        out.push(trouble(Area::Chain, text));
        if planted(Mutant::ReorganisedWorkKept) {
            window.groups.cancel_all(window.start, window.generation, out);
        } else {
            window.groups.abandon(window.start, window.generation, out);
        }
        window.upload.reorganised(out);
        window.generation += 1;
        window.context = None;
        window.beacon_round = None;
        window.hash_final = false;
        self.hash_known(now, hash, out);
    }

    /// Stop generating once the upload must begin; until then keep the timer on that moment.
    pub(super) fn watch_deadline(&mut self, now: Now, out: &mut Actions) {
        let stopping = self.stopping;
        let Some(window) = self.window.as_mut().filter(|window| !window.closing) else {
            return;
        };
        let at_ms = self.timing.upload_ms(window.start, now.monotonic_ms);
        if stopping || at_ms <= now.monotonic_ms {
            window.closing = true;
            window.groups.cancel_all(window.start, window.generation, out);
            out.push(Action::ClearTimer(Timer::UploadDeadline));
            out.push(Action::ClearTimer(Timer::Groups));
        } else {
            out.push(Action::SetTimer { timer: Timer::UploadDeadline, at_ms });
        }
    }

    /// Write the receipt of the window that ends.
    pub(super) fn close_window(&mut self, out: &mut Actions) {
        let Some(window) = self.window.take() else { return };
        self.note_ended(window.start);
        if self.close_unconfirmed(window.start, out) {
            return;
        }
        window.groups.cancel_all_of(&window, out);
        let uploaded = window.upload.confirmed();
        let receipt = WindowReceipt {
            window_start: window.start,
            outcome: self.outcome(&window),
            groups_clean: window.groups.clean_count(),
            groups_uploaded: uploaded.map_or(0, |uploaded| uploaded.groups),
            rollouts_uploaded: uploaded.map_or(0, |uploaded| uploaded.groups * PROTOCOL.rollouts_per_group),
            slack_ms: uploaded.and_then(|uploaded| uploaded.slack_ms),
            read_back: uploaded.is_some(),
            digest: uploaded.map(|uploaded| uploaded.digest.clone()),
            self_check_rejections: window.groups.rejections.clone(),
            engine_failures: window.groups.engine_failures,
            reorganisations: window.generation,
            with_beacon: window.context.as_ref().is_some_and(|context| context.use_drand),
        };
        let in_flight = window.upload.put_in_flight();
        self.give_receipt(receipt, window.upload.ledger().clone(), in_flight, out);
    }

    fn outcome(&self, window: &Window) -> WindowOutcome {
        if window.upload.confirmed().is_some() {
            WindowOutcome::Uploaded
        } else if self.account.is_unregistered() {
            WindowOutcome::NotRegistered
        } else if window.groups.clean_prefix() > 0 {
            window.upload.failure(&self.config.behaviours)
        } else if window.generation > 0 {
            WindowOutcome::Reorganised
        } else {
            WindowOutcome::NothingReady
        }
    }

    /// The retry timer fired: whatever waits for it goes on.
    pub(super) fn retry(&mut self, out: &mut Actions) {
        if self.window.as_ref().is_some_and(|window| window.hash.is_none()) {
            self.read_hash(out);
        }
        self.resume_upload(out);
    }
}

fn report_opened(context: &WindowContext, out: &mut Actions) {
    out.push(Action::Report(Report::WindowOpened {
        window_start: context.window_start,
        with_beacon: context.use_drand,
    }));
}
