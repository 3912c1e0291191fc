//! How many of a window's clean groups to upload, and what that is worth.

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
    /// Returns the best choice among the first `available` groups; none where nothing is worth uploading.
    pub(super) fn choose(&self, policy: UploadPolicy, available: usize) -> Option<Choice> {
        let solutions = self.solutions(available);
        let groups = policy.choose(&solutions, PROTOCOL.rollouts_per_group);
        Some(Choice { groups, worth: worth(policy, &solutions[..groups]) }).filter(|choice| choice.groups > 0)
    }

    /// Returns how many groups the last file is expected to have.
    pub(super) fn file_expected(&self, policy: UploadPolicy) -> usize {
        likely(policy, self.expected_count(), PROTOCOL.rollouts_per_group)
    }

    /// Returns what the first `groups` groups are worth.
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
