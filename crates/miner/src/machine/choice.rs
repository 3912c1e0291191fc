//! Choice of how many of a window's clean groups to upload, with its worth.

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use super::groups::Groups;
use crate::policy::{UploadPolicy, expected_unique, likely};

/// A run of groups from 0.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Choice {
    pub(super) groups: usize,
    /// Comparable between choices of one window under one policy.
    pub(super) worth: f64,
}

impl Groups {
    /// Returns the best choice among the first `available` groups; none if nothing is worth uploading.
    pub(super) fn choose(&self, policy: UploadPolicy, available: usize) -> Option<Choice> {
        let solutions = self.solutions(available);
        let groups = policy.choose(&solutions, PROTOCOL.rollouts_per_group);
        Some(Choice { groups, worth: worth(policy, &solutions[..groups]) }).filter(|choice| choice.groups > 0)
    }

    /// Returns how many groups the last file is expected to have.
    pub(super) fn file_expected(&self, policy: UploadPolicy) -> usize {
        likely(policy, self.expected_count(), PROTOCOL.rollouts_per_group)
    }

    /// Returns the worth of the first `groups` groups.
    pub(super) fn worth_of(&self, policy: UploadPolicy, groups: usize) -> f64 {
        worth(policy, &self.solutions(groups))
    }

    /// Returns the assignments that solved their problem, for each of the first groups.
    fn solutions(&self, groups: usize) -> Vec<Vec<&[bool]>> {
        self.prefix(groups)
            .map(|rollouts| {
                let claims = rollouts.iter().map(|rollout| &rollout.commit.rollout);
                // Validators count assignments of successful rollouts only.
                claims.filter(|claims| claims.success).map(|claims| claims.assignment.as_slice()).collect()
            })
            .collect()
    }
}

fn worth(policy: UploadPolicy, solutions: &[Vec<&[bool]>]) -> f64 {
    match policy {
        UploadPolicy::Score => expected_unique(solutions, PROTOCOL.rollouts_per_group),
        UploadPolicy::All => solutions.len() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::clean_groups;
    use super::*;

    fn chosen(groups: &Groups, policy: UploadPolicy, available: usize) -> Option<(usize, f64)> {
        groups.choose(policy, available).map(|choice| (choice.groups, choice.worth))
    }

    #[test]
    fn a_choice_is_worth_the_solutions_that_a_validator_finds_in_it() {
        // Each group has one solution that no other has, and three rollouts that fail in different ways.
        let groups = clean_groups(6);
        assert_eq!(chosen(&groups, UploadPolicy::Score, 6), Some((5, 5.0)), "of six groups one is checked");
        assert_eq!(chosen(&groups, UploadPolicy::Score, 3), Some((3, 3.0)), "no more than are available");
        assert_eq!(groups.worth_of(UploadPolicy::Score, 4), 4.0);
        assert!((groups.worth_of(UploadPolicy::Score, 6) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn where_all_is_uploaded_the_number_of_groups_counts() {
        let groups = clean_groups(6);
        assert_eq!(chosen(&groups, UploadPolicy::All, 6), Some((6, 6.0)));
        assert_eq!(groups.worth_of(UploadPolicy::All, 6), 6.0);
    }

    #[test]
    fn nothing_is_no_choice() {
        for policy in [UploadPolicy::Score, UploadPolicy::All] {
            assert_eq!(chosen(&clean_groups(0), policy, 0), None);
        }
    }

    #[test]
    fn the_last_file_is_expected_to_hold_what_would_be_chosen_if_all_came_ready() {
        let groups = clean_groups(7);
        assert_eq!(groups.file_expected(UploadPolicy::Score), 5);
        assert_eq!(groups.file_expected(UploadPolicy::All), 7);
        assert_eq!(clean_groups(0).file_expected(UploadPolicy::All), 0);
    }
}
