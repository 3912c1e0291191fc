//! When the window ends, and when its upload must begin.

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use super::MachineConfig;
use super::estimate::Estimate;
use super::view::View;
use crate::answers::Head;
use crate::behaviour::Behaviour;
use crate::mutants::{Mutant, planted};

/// The chain's pace as seen so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Timing {
    /// The best head, and when it was seen.
    head: Option<(Head, u64)>,
    block: Estimate,
    /// One group, from order to seal.
    pub(super) group: Estimate,
    /// One upload with its read-back.
    pub(super) upload: Estimate,
    /// Of the configuration, and no part of the state.
    #[serde(skip)]
    safety_blocks: u64,
    /// Of the configuration as well.
    #[serde(skip)]
    margin_is_bounded: bool,
}

/// Estimates lose half their distance from the initial value in this time.
const HALF_LIFE_MS: u64 = 120_000;
const GROUP_INITIAL_MS: u64 = 20_000;
const UPLOAD_INITIAL_MS: u64 = 4_000;

impl Timing {
    pub(super) fn new(config: &MachineConfig) -> Self {
        let block_ms = config.block_ms;
        // On fast test networks everything is expected to be faster in proportion.
        let scaled = |ms: u64| (ms * block_ms / PROTOCOL.block_ms).max(50);
        let half_life_ms = scaled(HALF_LIFE_MS);
        let fresh = Self {
            head: None,
            block: Estimate::new(block_ms, half_life_ms),
            group: Estimate::new(scaled(GROUP_INITIAL_MS), half_life_ms),
            upload: Estimate::new(scaled(UPLOAD_INITIAL_MS), half_life_ms),
            safety_blocks: 0,
            margin_is_bounded: false,
        };
        fresh.configured(config)
    }

    pub(super) fn describe(&self, view: &mut View) {
        let Self { head, block, group, upload, safety_blocks: _, margin_is_bounded: _ } = self;
        view.line_if_some("timing.head", head.map(|(head, _)| head.number));
        view.line_if_some("timing.head_seen_ms", head.map(|(_, seen_ms)| seen_ms));
        view.line("timing.block", block);
        view.line("timing.group", group);
        view.line("timing.upload", upload);
    }

    /// The same under a configuration.
    pub(super) fn configured(self, config: &MachineConfig) -> Self {
        let margin_is_bounded = config.behaviours.contains(&Behaviour::UploadMarginIsBounded);
        Self { safety_blocks: config.safety_blocks, margin_is_bounded, ..self }
    }

    pub(super) fn head(&self) -> Option<u64> {
        self.head.map(|(head, _)| head.number)
    }

    /// The best head, and when it was seen.
    pub(super) const fn last_head(&self) -> Option<(Head, u64)> {
        self.head
    }

    /// Take this head, which may be lower than the one before; nothing is learnt of block time by it.
    pub(super) const fn set_head(&mut self, head: Head, now_ms: u64) {
        self.head = Some((head, now_ms));
    }

    /// Note a head; false if it is not newer than the one before.
    pub(super) fn note_head(&mut self, head: Head, now_ms: u64) -> bool {
        if let Some((before, seen_ms)) = self.head {
            if head <= before {
                return false;
            }
            self.block.observe((now_ms - seen_ms) / (head.number - before.number), now_ms);
        }
        self.head = Some((head, now_ms));
        true
    }

    /// When the window is expected to end.
    pub(super) fn end_ms(&self, window_start: u64, now_ms: u64) -> u64 {
        let Some((head, seen_ms)) = self.head else {
            return now_ms;
        };
        let blocks_left = (window_start + PROTOCOL.window_blocks).saturating_sub(head.number);
        seen_ms + blocks_left * self.block.at(now_ms)
    }

    /// When generation must end so that the upload, tried twice, is confirmed in time.
    pub(super) fn upload_ms(&self, window_start: u64, now_ms: u64) -> u64 {
        if planted(Mutant::DeadlineIgnored) {
            return self.end_ms(window_start, now_ms);
        }
        let block_ms = self.block.at(now_ms);
        let margin = self.safety_blocks * block_ms + 2 * self.upload.at(now_ms);
        // A bucket that took minutes may be well again, and without a group there is nothing to upload.
        let most = if self.margin_is_bounded { PROTOCOL.window_blocks * block_ms / 2 } else { u64::MAX };
        self.end_ms(window_start, now_ms).saturating_sub(margin.min(most))
    }

    /// Whether a group that starts now is expected to be ready for the upload.
    pub(super) fn group_can_finish(&self, window_start: u64, now_ms: u64) -> bool {
        now_ms + self.group.at(now_ms) <= self.upload_ms(window_start, now_ms)
    }
}
