//! When the window ends, and when its upload must start.

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::settings::MachineSettings;
use super::view::View;
use crate::answers::Head;

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
}

/// Estimates lose half their distance from the initial value in this time.
const HALF_LIFE_MS: u64 = 120_000;
const GROUP_INITIAL_MS: u64 = 20_000;
const UPLOAD_INITIAL_MS: u64 = 4_000;

impl Timing {
    pub(super) fn new(settings: &MachineSettings) -> Self {
        let block_ms = settings.block_ms;
        // On fast test networks everything is expected to be faster in proportion.
        let scaled = |ms: u64| (ms * block_ms / PROTOCOL.block_ms).max(50);
        let half_life_ms = scaled(HALF_LIFE_MS);
        Self {
            head: None,
            block: Estimate::new(block_ms, half_life_ms),
            group: Estimate::new(scaled(GROUP_INITIAL_MS), half_life_ms),
            upload: Estimate::new(scaled(UPLOAD_INITIAL_MS), half_life_ms),
        }
    }

    pub(super) fn describe(&self, view: &mut View) {
        let Self { head, block, group, upload } = self;
        view.line_if_some("timing.head", head.map(|(head, _)| head.number));
        view.line_if_some("timing.head_seen_ms", head.map(|(_, seen_ms)| seen_ms));
        view.line("timing.block", block);
        view.line("timing.group", group);
        view.line("timing.upload", upload);
    }

    pub(super) fn head(&self) -> Option<u64> {
        self.head.map(|(head, _)| head.number)
    }

    /// The best head, and when it was seen.
    pub(super) const fn last_head(&self) -> Option<(Head, u64)> {
        self.head
    }

    /// Takes this head, which may be lower than the one before; nothing is learned of block time by it.
    pub(super) const fn set_head(&mut self, head: Head, now_ms: u64) {
        self.head = Some((head, now_ms));
    }

    /// Returns records a head; false if it is not newer than the one before.
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
    pub(super) fn upload_ms(&self, settings: &MachineSettings, window_start: u64, now_ms: u64) -> u64 {
        let block_ms = self.block.at(now_ms);
        let margin = settings.safety_blocks * block_ms + 2 * self.upload.at(now_ms);
        // A bucket that took minutes may be well again, and without a group there is nothing to upload.
        let margin_max = PROTOCOL.window_blocks * block_ms / 2;
        self.end_ms(window_start, now_ms).saturating_sub(margin.min(margin_max))
    }
}
