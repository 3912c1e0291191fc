//! Weights on chain: at most once in an interval, never twice without a check, and read back.

use grail_miner::ports::ChainError;
use grail_verify::score::{emitted, weights};
use serde::{Deserialize, Serialize};

use crate::answers::{Neuron, SubmitError, WeightsState};
use crate::context::Context;
use crate::event::{Action, Timer};
use crate::memory::{JournalRecord, SentWeights};
use crate::receipt::{Report, WeightsReport};

/// Weights that were to be sent this many blocks ago can no longer be included: a transaction lives for 32 blocks, and the
/// call that sends it may take some.
const MORTALITY_BLOCKS: u64 = 40;

/// Setting the weights of a window that has ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) enum Submission {
    #[default]
    Idle,
    /// Reading the subnet's hotkeys and what the chain says about weights.
    Reading { window_start: u64, hotkeys: Option<Vec<(u16, String)>>, state: Option<WeightsState> },
    /// The weights that are sent next are being journaled.
    Starting { window_start: u64, entry: u64, weights: Vec<(u16, u16)> },
    /// Sent, and not answered yet.
    Sent { window_start: u64, block: u64, weights: Vec<(u16, u16)> },
    /// Answered; the chain is read until it shows the weights or can no longer include them.
    Checking { window_start: u64, block: u64, weights: Vec<(u16, u16)> },
}

impl Submission {
    /// Starts with a window that has just ended.
    pub(crate) fn begin(&mut self, window_start: u64, cx: &mut Context<'_>) {
        if cx.settings.dry_run || !matches!(self, Self::Idle) {
            return;
        }
        if let Some(SentWeights { window_start, block, weights }) = cx.memory.sent.clone() {
            *self = Self::Checking { window_start, block, weights };
            cx.out.push(Action::ReadWeights);
            return;
        }
        *self = Self::Reading { window_start, hotkeys: None, state: None };
        self.ask(cx);
    }

    /// Asks the chain for missing facts.
    pub(crate) fn ask(&self, cx: &mut Context<'_>) {
        match self {
            Self::Reading { hotkeys, state, .. } => {
                if hotkeys.is_none() {
                    cx.out.push(Action::ReadMetagraph);
                }
                if state.is_none() {
                    cx.out.push(Action::ReadWeights);
                }
            }
            Self::Checking { .. } => cx.out.push(Action::ReadWeights),
            _ => {}
        }
    }

    pub(crate) fn on_metagraph(&mut self, result: &Result<Vec<Neuron>, ChainError>, cx: &mut Context<'_>) {
        let Self::Reading { hotkeys, .. } = self else { return };
        match result {
            // Without what they have committed, which does not belong into the state on a tape.
            Ok(neurons) => *hotkeys = Some(neurons.iter().map(|one| (one.uid, one.hotkey.clone())).collect()),
            Err(_) => cx.pause(Timer::Weights),
        }
        self.advance(cx);
    }

    pub(crate) fn on_read(&mut self, result: Result<WeightsState, ChainError>, cx: &mut Context<'_>) {
        match (&mut *self, result) {
            (Self::Reading { .. } | Self::Checking { .. }, Err(_)) => cx.pause(Timer::Weights),
            (Self::Reading { state, .. }, Ok(read)) => *state = Some(read),
            (Self::Checking { window_start, block, weights }, Ok(read)) => {
                let (window_start, block, weights) = (*window_start, *block, weights.clone());
                if read.weights == weights && read.last_update >= block {
                    cx.journal(JournalRecord::WeightsSettled);
                    let block = read.last_update;
                    cx.out.push(report(WeightsReport::Set { window_start, block, weights }));
                    *self = Self::Idle;
                } else if cx.head > block + MORTALITY_BLOCKS {
                    let why = format!("the chain did not take what was sent in block {block}");
                    not_set(window_start, why, cx);
                    if block / cx.settings.weights_blocks == cx.head / cx.settings.weights_blocks {
                        // The same weights again: an undisturbed process would have set these.
                        *self = Self::starting(window_start, weights, cx);
                        return;
                    }
                    cx.journal(JournalRecord::WeightsSettled);
                    *self = Self::Idle;
                    // A window that is being judged sets them when it ends.
                    if cx.memory.open.is_none() {
                        self.begin(cx.memory.last_window.unwrap_or(window_start), cx);
                    }
                } else {
                    cx.pause(Timer::Weights);
                }
            }
            _ => {}
        }
        self.advance(cx);
    }

    pub(crate) fn on_journaled(&mut self, journaled: u64, cx: &mut Context<'_>) {
        if let Self::Starting { window_start, entry, weights } = self
            && *entry == journaled
        {
            cx.out.push(Action::SetWeights(weights.clone()));
            *self = Self::Sent { window_start: *window_start, block: cx.head, weights: std::mem::take(weights) };
        }
    }

    pub(crate) fn on_answered(&mut self, result: Result<(), SubmitError>, cx: &mut Context<'_>) {
        let Self::Sent { window_start, block, weights } = self else { return };
        let (window_start, block, weights) = (*window_start, *block, std::mem::take(weights));
        match result {
            Err(error @ SubmitError::Refused(_)) => {
                cx.journal(JournalRecord::WeightsSettled);
                not_set(window_start, error, cx);
                *self = Self::Idle;
                return;
            }
            Err(error @ SubmitError::Unknown(_)) => cx.trouble(error),
            Ok(()) => {}
        }
        // Only what the chain shows counts as set.
        *self = Self::Checking { window_start, block, weights };
        cx.out.push(Action::ReadWeights);
    }

    /// Sends, once everything is known that it takes.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let Self::Reading { window_start, hotkeys: Some(hotkeys), state: Some(state) } = self else { return };
        let window_start = *window_start;
        let interval = |block: u64| block / cx.settings.weights_blocks;
        // A newly registered uid has set nothing, although it has a last update.
        let is_set = !state.weights.is_empty() && interval(state.last_update) == interval(cx.head);
        let hindrance = match state.uid {
            _ if state.commit_reveal => Some(
                "the subnet only takes weights that are revealed later; let its owner switch commit-reveal off \
                 (`btcli sudo set --param commit_reveal_weights_enabled --value false`), or use the reference's validator"
                    .to_owned(),
            ),
            None => Some("our hotkey has no uid; register it on the subnet".to_owned()),
            Some(_) if is_set => {
                let next = (interval(cx.head) + 1) * cx.settings.weights_blocks;
                Some(format!("they were set in block {}; the next time is after block {next}", state.last_update))
            }
            Some(_) if !state.weights.is_empty() && cx.head < state.last_update + state.rate_limit => {
                let next = state.last_update + state.rate_limit;
                Some(format!("the subnet's rate limit allows them from block {next} on"))
            }
            Some(_) => None,
        };
        if let Some(why) = hindrance {
            *self = Self::Idle;
            return not_set(window_start, why, cx);
        }
        let miners: Vec<(&str, u16)> = hotkeys.iter().map(|(uid, hotkey)| (hotkey.as_str(), *uid)).collect();
        let shares = weights(&cx.memory.history, &miners, window_start);
        let shares: Vec<(u16, f64)> = miners.iter().map(|(_, uid)| *uid).zip(shares).collect();
        let weights = emitted(&shares);
        if weights.is_empty() {
            *self = Self::Idle;
            return not_set(window_start, "nobody has a weight", cx);
        }
        *self = Self::starting(window_start, weights, cx);
    }

    /// Journals weights, which are sent once that is durable.
    fn starting(window_start: u64, weights: Vec<(u16, u16)>, cx: &mut Context<'_>) -> Self {
        let record = JournalRecord::WeightsStarted { window_start, block: cx.head, weights: weights.clone() };
        Self::Starting { window_start, entry: cx.journal(record), weights }
    }
}

fn report(report: WeightsReport) -> Action {
    Action::Report(Report::Weights(report))
}

fn not_set(window_start: u64, why: impl ToString, cx: &mut Context<'_>) {
    cx.out.push(report(WeightsReport::NotSet { window_start, why: why.to_string() }));
}
