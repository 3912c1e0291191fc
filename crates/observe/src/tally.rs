//! Sums over the groups of each window, as they pass the driver: what metrics, receipts and the status tell.

use std::collections::BTreeMap;

use grail_miner::machine::{Action, Event, Report, WindowReceipt};
use grail_miner::policy::expected_unique;
use grail_miner::ports::{JournalRecord, Now};
use grail_protocol::PROTOCOL;
use grail_protocol::rollout::Rollout;

/// What is kept of a group.
#[derive(Debug)]
pub(super) struct Group {
    is_clean: bool,
    pub(super) rewards: Vec<f64>,
    pub(super) tokens: u64,
    pub(super) solutions: Vec<Vec<bool>>,
}

impl Group {
    fn of(rollouts: &[Rollout], is_clean: bool) -> Self {
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
pub(crate) struct Sums {
    pub(crate) groups: usize,
    pub(crate) rollouts: usize,
    pub(crate) successes: usize,
    pub(crate) tokens: u64,
    pub(crate) reward: f64,
}

/// The groups that wait for the journal and those that are clean, by window and index.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    groups: BTreeMap<(u64, u32), Group>,
    opened_ms: BTreeMap<u64, u64>,
}

impl Tally {
    /// Take note of an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            // What an earlier process made is part of the window's file.
            Event::Started(records) => {
                for record in records {
                    let JournalRecord::Group { window_start, rollouts } = record else { continue };
                    let Some(first) = rollouts.first() else { continue };
                    self.groups.insert((*window_start, first.rollout_group), Group::of(rollouts, true));
                }
            }
            Event::GroupReady { group, sealed } if sealed.findings.is_empty() => {
                self.groups.insert((group.window_start, group.index), Group::of(&sealed.rollouts, false));
            }
            _ => {}
        }
    }

    /// Take note of an action; a receipt is noted by [`Self::forget_through`] once it was told.
    pub(crate) fn action(&mut self, now: Now, action: &Action) {
        match action {
            Action::Report(Report::WindowOpened { window_start, .. }) => {
                self.opened_ms.insert(*window_start, now.monotonic_ms);
            }
            Action::Report(Report::GroupClean { window_start, index, .. }) => {
                // A group of a tape that begins later was never seen.
                if let Some(group) = self.groups.get_mut(&(*window_start, *index)) {
                    group.is_clean = true;
                }
            }
            _ => {}
        }
    }

    pub(super) fn clean_group(&self, window: u64, index: u32) -> Option<&Group> {
        self.groups.get(&(window, index)).filter(|group| group.is_clean)
    }

    /// The clean groups of a window, in order.
    pub(super) fn clean_groups(&self, window: u64) -> impl Iterator<Item = &Group> {
        let groups = self.groups.range((window, 0)..=(window, u32::MAX)).map(|(_, group)| group);
        groups.filter(|group| group.is_clean)
    }

    /// Over the clean groups of a window.
    pub(crate) fn sums(&self, window: u64) -> Sums {
        self.clean_groups(window).fold(Sums::default(), |sums, group| Sums {
            groups: sums.groups + 1,
            rollouts: sums.rollouts + group.rewards.len(),
            successes: sums.successes + group.solutions.len(),
            tokens: sums.tokens + group.tokens,
            reward: sums.reward + group.rewards.iter().sum::<f64>(),
        })
    }

    /// Since when a window is open, in seconds.
    pub(crate) fn seconds_open(&self, now: Now, window: u64) -> Option<f64> {
        let opened_ms = self.opened_ms.get(&window)?;
        Some(now.monotonic_ms.saturating_sub(*opened_ms) as f64 / 1000.0)
    }

    /// Distinct solutions that a validator is expected to find in the confirmed file; none where not every group of it
    /// was seen.
    pub(crate) fn expected_score(&self, receipt: &WindowReceipt) -> Option<f64> {
        let solutions: Option<Vec<Vec<&[bool]>>> = (0..u32::try_from(receipt.groups_uploaded).ok()?)
            .map(|index| {
                let group = self.clean_group(receipt.window_start, index)?;
                Some(group.solutions.iter().map(Vec::as_slice).collect())
            })
            .collect();
        Some(expected_unique(&solutions?, PROTOCOL.rollouts_per_group))
    }

    /// Forget a window that has its receipt, and those before it.
    pub(crate) fn forget_through(&mut self, window: u64) {
        let next = window + 1;
        self.groups = self.groups.split_off(&(next, 0));
        self.opened_ms = self.opened_ms.split_off(&next);
    }
}
