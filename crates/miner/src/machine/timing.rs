//! When the window ends, and when its upload must start.

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::pace::Pace;
use super::settings::MachineSettings;
use crate::answers::Head;

/// The chain's pace as seen so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Timing {
    /// The best head, and when it was seen.
    head: Option<(Head, u64)>,
    block: Estimate,
    /// How fast groups come.
    pub(super) pace: Pace,
    /// One upload with its read-back, and the groups in the file by which it was learned.
    upload: Estimate,
    upload_groups: u64,
}

/// Estimates lose half their distance from the initial value in this time.
const HALF_LIFE_MS: u64 = 120_000;
const DRAW_INITIAL_MS: u64 = 20_000;
const UPLOAD_INITIAL_MS: u64 = 4_000;
/// A block time divided by this is the time for an upload's round trips; longer uploads are on a slow link.
const ROUND_TRIPS_PER_BLOCK: u64 = 8;

impl Timing {
    pub(super) fn new(settings: &MachineSettings) -> Self {
        let block_ms = settings.block_ms;
        // On fast test networks everything is expected to be faster in proportion.
        let scaled = |ms: u64| (ms * block_ms / PROTOCOL.block_ms).max(50);
        let half_life_ms = scaled(HALF_LIFE_MS);
        let rollouts_max = (settings.groups_in_flight_max.max(1) * PROTOCOL.rollouts_per_group) as u64;
        Self {
            head: None,
            block: Estimate::new(block_ms, half_life_ms),
            pace: Pace::new(rollouts_max, scaled(DRAW_INITIAL_MS), half_life_ms),
            upload: Estimate::new(scaled(UPLOAD_INITIAL_MS), half_life_ms),
            upload_groups: 0,
        }
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

    /// Records a head. Returns false if it is not newer than the one before.
    pub(super) fn note_head(&mut self, head: Head, now_ms: u64) -> bool {
        if let Some((before, seen_ms)) = self.head {
            if head <= before {
                return false;
            }
            // After a silence one head can be several blocks higher.
            self.block.observe((now_ms - seen_ms) / (head.number - before.number), now_ms);
        }
        self.head = Some((head, now_ms));
        true
    }

    /// When the window is expected to end.
    pub(super) fn end_ms(&self, window_start: u64, now_ms: u64) -> u64 {
        let Some((head, seen_ms)) = self.head else { return now_ms };
        let blocks_left = (window_start + PROTOCOL.window_blocks).saturating_sub(head.number);
        seen_ms + blocks_left * self.block.at(now_ms)
    }

    /// An upload of `groups` groups was confirmed now.
    pub(super) fn note_upload(&mut self, took_ms: u64, groups: usize, now_ms: u64) {
        self.upload.observe(took_ms, now_ms);
        self.upload_groups = groups as u64;
    }

    /// An upload was given up after `took_ms`. It is only known that it takes longer.
    pub(super) fn note_upload_late(&mut self, took_ms: u64, now_ms: u64) {
        // A lower bound may raise the estimate and never lowers it.
        if took_ms > self.upload.at(now_ms) {
            self.upload.observe(took_ms, now_ms);
        }
    }

    /// Returns the expected time of an upload of `groups` groups with its read-back, in milliseconds. The part beyond a
    /// few round trips grows with the file, which at most doubles between two early uploads.
    pub(super) fn upload_takes_ms(&self, groups: usize, settings: &MachineSettings, now_ms: u64) -> u64 {
        let learned_ms = self.upload.at(now_ms);
        // An eighth of 12 s is 1.5 s. What exceeds it is taken for transfer, which grows with the file.
        let transfer_ms = learned_ms.saturating_sub(settings.block_ms / ROUND_TRIPS_PER_BLOCK);
        let known = self.upload_groups.max(1);
        let more = (groups as u64).saturating_sub(known).min(known);
        // Before the first upload there is no size to compare with.
        if self.upload_groups == 0 { learned_ms } else { learned_ms + transfer_ms * more / known }
    }

    /// Returns when generation must end so that an upload of `groups` groups is confirmed in time, with time for a
    /// second attempt. At most one block is reserved for that attempt; on a slower link an earlier file must do.
    pub(super) fn upload_ms(&self, settings: &MachineSettings, window_start: u64, groups: usize, now_ms: u64) -> u64 {
        let block_ms = self.block.at(now_ms);
        let takes_ms = self.upload_takes_ms(groups, settings, now_ms);
        let margin = settings.safety_blocks * block_ms + takes_ms + takes_ms.min(block_ms);
        // A bucket that took minutes may work again, and without a group there is nothing to upload. Case
        // `an-upload-that-took-minutes-costs-no-window-after-it`.
        let margin_max = PROTOCOL.window_blocks * block_ms / 2;
        self.end_ms(window_start, now_ms).saturating_sub(margin.min(margin_max))
    }
}

#[cfg(test)]
mod tests {
    use grail_protocol::signature::Hotkey;

    use super::*;

    const WINDOW: u64 = 300;
    const BLOCK_MS: u64 = PROTOCOL.block_ms;
    /// When the head was seen that is ten blocks into the window.
    const SEEN_MS: u64 = 1_000;
    const END_MS: u64 = SEEN_MS + 20 * BLOCK_MS;

    fn settings() -> MachineSettings {
        MachineSettings::new(Hotkey::from_bytes([1; 32]))
    }

    fn timing() -> Timing {
        let mut timing = Timing::new(&settings());
        timing.set_head(Head { number: WINDOW + 10 }, SEEN_MS);
        timing
    }

    fn takes_ms(timing: &Timing, groups: usize) -> u64 {
        timing.upload_takes_ms(groups, &settings(), SEEN_MS)
    }

    #[test]
    fn a_window_ends_as_many_blocks_after_the_head_as_are_left_of_it() {
        let mut timing = timing();
        assert_eq!(timing.end_ms(WINDOW, SEEN_MS + 5_000), END_MS);
        assert_eq!(timing.end_ms(WINDOW + 30, SEEN_MS), END_MS + 30 * BLOCK_MS);
        assert_eq!(timing.end_ms(WINDOW - 30, 5_000), SEEN_MS, "it is over");
        assert_eq!(Timing::new(&settings()).end_ms(WINDOW, 5_000), 5_000, "nothing is known without a head");
        // Two blocks in 28 s: a rise counts half.
        assert!(timing.note_head(Head { number: WINDOW + 12 }, 29_000));
        assert_eq!(timing.end_ms(WINDOW, 29_000), 29_000 + 18 * 13_000);
        assert_eq!(timing.last_head(), Some((Head { number: WINDOW + 12 }, 29_000)));
    }

    #[test]
    fn a_head_that_is_not_newer_teaches_nothing() {
        let mut timing = timing();
        for number in [WINDOW + 10, WINDOW + 9] {
            assert!(!timing.note_head(Head { number }, 90_000));
            assert_eq!((timing.head(), timing.end_ms(WINDOW, 90_000)), (Some(WINDOW + 10), END_MS));
        }
        let mut empty = Timing::new(&settings());
        assert_eq!((empty.head(), empty.last_head()), (None, None));
        assert!(empty.note_head(Head { number: 5 }, 90_000));
        assert_eq!((empty.head(), empty.end_ms(0, 90_000)), (Some(5), 90_000 + 25 * BLOCK_MS));
    }

    #[test]
    fn a_larger_file_takes_longer_by_what_is_no_round_trip_and_twice_at_most() {
        let mut timing = timing();
        assert_eq!((takes_ms(&timing, 1), takes_ms(&timing, 100)), (UPLOAD_INITIAL_MS, UPLOAD_INITIAL_MS));
        // A rise counts half: 7 s, of which 1.5 s are round trips.
        timing.note_upload(10_000, 10, SEEN_MS);
        for (groups, expected_ms) in [(5, 7_000), (10, 7_000), (15, 9_750), (20, 12_500), (100, 12_500)] {
            assert_eq!(takes_ms(&timing, groups), expected_ms, "{groups} groups");
        }
        // What is quick is round trips alone.
        let mut quick = Timing::new(&settings());
        (0..20).for_each(|_| quick.note_upload(100, 1, SEEN_MS));
        assert_eq!(takes_ms(&quick, 1), takes_ms(&quick, 100));
    }

    #[test]
    fn an_upload_that_is_given_up_can_only_raise_what_is_expected() {
        let mut timing = timing();
        timing.note_upload_late(3_000, SEEN_MS);
        assert_eq!(takes_ms(&timing, 1), UPLOAD_INITIAL_MS);
        timing.note_upload_late(8_000, SEEN_MS);
        assert_eq!(takes_ms(&timing, 1), 6_000);
        // One that took just as long tells nothing new: what was learned is forgotten as before.
        timing.note_upload_late(6_000, SEEN_MS + HALF_LIFE_MS / 2);
        assert_eq!(timing.upload_takes_ms(1, &settings(), SEEN_MS + HALF_LIFE_MS), 5_000);
    }

    #[test]
    fn the_upload_starts_a_block_and_two_attempts_before_the_window_ends() {
        let upload_ms =
            |timing: &Timing, settings: &MachineSettings, groups| timing.upload_ms(settings, WINDOW, groups, SEEN_MS);
        let mut timing = timing();
        assert_eq!(upload_ms(&timing, &settings(), 3), END_MS - BLOCK_MS - 2 * UPLOAD_INITIAL_MS);
        let cautious = MachineSettings { safety_blocks: 3, ..settings() };
        assert_eq!(upload_ms(&timing, &cautious, 3), END_MS - 3 * BLOCK_MS - 2 * UPLOAD_INITIAL_MS);
        // For a second attempt a block is kept at most.
        timing.note_upload(36_000, 3, SEEN_MS);
        assert_eq!(upload_ms(&timing, &settings(), 3), END_MS - BLOCK_MS - 20_000 - BLOCK_MS);
        let transfer_ms = 20_000 - BLOCK_MS / 8;
        assert_eq!(upload_ms(&timing, &settings(), 6), END_MS - BLOCK_MS - 20_000 - transfer_ms - BLOCK_MS);
        // Half of the window is left for groups, whatever the bucket took.
        timing.note_upload(3_600_000, 3, SEEN_MS);
        assert_eq!(upload_ms(&timing, &settings(), 3), END_MS - 15 * BLOCK_MS);
    }

    #[test]
    fn on_a_fast_network_everything_is_expected_to_be_faster_in_proportion() {
        let fast = MachineSettings { block_ms: 1_200, ..settings() };
        let timing = Timing::new(&fast);
        assert_eq!(timing.upload_takes_ms(1, &fast, 0), UPLOAD_INITIAL_MS / 10);
        assert_eq!(timing.pace.whole_draw_ms(0), DRAW_INITIAL_MS / 10);
        let fastest = MachineSettings { block_ms: 12, ..settings() };
        assert_eq!(Timing::new(&fastest).upload_takes_ms(1, &fastest, 0), 50);
    }
}
