//! The facts about one window.

use std::collections::BTreeMap;

use grail_miner::policy::expected_unique;
use grail_protocol::PROTOCOL;
use grail_protocol::rollout::Rollout;

/// Phase of a window's upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum UploadPhase {
    /// Nothing was sent, or the sent file is not in the bucket.
    #[default]
    None,
    /// The file is being sent.
    Uploading,
    /// The object is being read with the read key.
    ReadingBack,
    /// The object is the file that was sent.
    Confirmed,
}

impl UploadPhase {
    /// Returns its name in the status.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The facts about a group that passed the self-check.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Whether the journal has it, so that it counts.
    pub(super) is_clean: bool,
    pub(crate) rewards: Vec<f64>,
    pub(crate) tokens: u64,
    pub(crate) solutions: Vec<Vec<bool>>,
}

impl Group {
    pub(super) fn of(rollouts: &[Rollout], is_clean: bool) -> Self {
        let claims = || rollouts.iter().map(|rollout| &rollout.commit.rollout);
        Self {
            is_clean,
            rewards: claims().map(|claims| claims.total_reward).collect(),
            tokens: claims().map(|claims| claims.completion_length as u64).sum(),
            solutions: claims().filter(|claims| claims.success).map(|claims| claims.assignment.clone()).collect(),
        }
    }
}

/// Sums over the clean groups of a window.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Sums {
    /// Clean groups.
    pub groups: usize,
    /// Rollouts in them.
    pub rollouts: usize,
    /// Rollouts that solve their problem.
    pub successes: usize,
    /// Completion tokens.
    pub tokens: u64,
    /// Sum of the rewards.
    pub reward: f64,
}

/// The facts about one window. Times are the event loop's monotonic milliseconds.
#[derive(Debug, Clone, Default)]
pub struct WindowState {
    /// When its first head came.
    pub begun_ms: Option<u64>,
    /// When its randomness was known.
    pub(super) opened_ms: Option<u64>,
    /// Whether the beacon entered the randomness; none before the randomness is known.
    pub with_beacon: Option<bool>,
    pub(super) groups: BTreeMap<u32, Group>,
    pub(super) last_clean_ms: Option<u64>,
    /// Phase of the upload.
    pub phase: UploadPhase,
    /// Longest time between two events. A process that is stopped, or starved, is silent for long.
    pub(super) longest_silence_ms: u64,
    /// Whether this process read a confirmed file back.
    pub(crate) is_read_here: bool,
    /// Whether the bucket holds a file of this window that was read back.
    pub(super) is_confirmed: bool,
    /// Size in bytes of the last file that was sent.
    pub upload_bytes: Option<usize>,
    pub(super) upload_began_ms: Option<u64>,
}

impl WindowState {
    /// Returns the length of the run of clean groups from 0, which is what a file can hold.
    pub fn clean_prefix(&self) -> usize {
        (0..).take_while(|index| self.clean_group(*index).is_some()).count()
    }

    pub(crate) fn clean_group(&self, index: u32) -> Option<&Group> {
        self.groups.get(&index).filter(|group| group.is_clean)
    }

    /// Returns the clean groups in order.
    pub(crate) fn clean_groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().filter(|group| group.is_clean)
    }

    /// Sums over the clean groups.
    pub fn sums(&self) -> Sums {
        self.clean_groups().fold(Sums::default(), |sums, group| Sums {
            groups: sums.groups + 1,
            rollouts: sums.rollouts + group.rewards.len(),
            successes: sums.successes + group.solutions.len(),
            tokens: sums.tokens + group.tokens,
            reward: sums.reward + group.rewards.iter().sum::<f64>(),
        })
    }

    /// Returns the seconds from the window's opening to `now_ms`; none before it opened.
    pub(crate) fn seconds_open(&self, now_ms: u64) -> Option<f64> {
        Some(now_ms.saturating_sub(self.opened_ms?) as f64 / 1000.0)
    }

    /// Returns the seconds from the window's opening to its last clean group, which speeds are divided by; none if no time
    /// passed.
    pub(crate) fn seconds_mined(&self) -> Option<f64> {
        self.seconds_open(self.last_clean_ms?).filter(|seconds| *seconds > 0.0)
    }

    /// Returns the distinct solutions that a validator is expected to find in the first groups; none if one of them is
    /// unknown.
    pub(crate) fn expected_score(&self, groups: usize) -> Option<f64> {
        let solutions: Option<Vec<Vec<&[bool]>>> = (0..u32::try_from(groups).ok()?)
            .map(|index| Some(self.clean_group(index)?.solutions.iter().map(Vec::as_slice).collect()))
            .collect();
        // The sum of nothing is -0.0.
        Some(expected_unique(&solutions?, PROTOCOL.rollouts_per_group) + 0.0)
    }

    /// Forgets groups and files of another context, which are worthless.
    pub(super) fn begin_anew(&mut self) {
        self.groups.clear();
        (self.opened_ms, self.with_beacon, self.last_clean_ms) = (None, None, None);
        (self.is_confirmed, self.is_read_here) = (false, false);
        // A file that is being sent is answered anyway.
        if self.phase != UploadPhase::Uploading {
            self.phase = UploadPhase::None;
        }
    }

    /// The file was abandoned: an earlier one may still be there.
    pub(super) fn abandon_upload(&mut self) {
        self.phase = if self.is_confirmed { UploadPhase::Confirmed } else { UploadPhase::None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_solved_scores_zero() {
        assert_eq!(serde_json::to_string(&WindowState::default().expected_score(0)).unwrap(), "0.0");
    }
}
