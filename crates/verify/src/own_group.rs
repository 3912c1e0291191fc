//! The same rules over our own group, before its upload.

use std::cell::RefCell;

use grail_protocol::generation::{ProofPass, RecomputeError, Tokenizer};
use grail_protocol::rollout::Rollout;
use serde::{Deserialize, Serialize};

use crate::facts::{Recompute, WindowFacts};
use crate::memory::Memory;
use crate::process::FileCheck;
use crate::verdict::{Check, Reason, RolloutOutcome};

/// A finding about our own group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFinding {
    /// Index of the rollout in its group; none if the finding is the group's.
    pub rollout: Option<u32>,
    /// The check that a validator would fail it for.
    pub check: Check,
    /// The reason within the check.
    pub reason: Reason,
}

/// Checks a signed group with the validator's rules, given the forward pass of each rollout. An empty list is good.
///
/// Stricter than a validator: a soft failure and a skipped rollout are findings too, and the proof is opened at the
/// positions that `facts.challenge_randomness` draws.
pub fn check_own_group(
    rollouts: &[Rollout],
    passes: &[&ProofPass],
    facts: &WindowFacts,
    tokenizer: &dyn Tokenizer,
) -> Vec<OwnFinding> {
    let values: Vec<_> = rollouts.iter().map(Rollout::to_value).collect();
    let known = Passes { rollouts, passes };
    let memory = &Memory::default();
    let check = FileCheck { facts, tokenizer, recompute: &known, memory, unverified: RefCell::default() };
    let Some(index) = rollouts.first().map(|rollout| rollout.rollout_group) else {
        return vec![OwnFinding { rollout: None, check: Check::Group, reason: Reason::GroupSize }];
    };
    let (outcomes, group) = check.group(&values, index);
    let of_group = group.map(|reason| OwnFinding { rollout: None, check: Check::Group, reason });
    let of_rollouts = outcomes.into_iter().enumerate().filter_map(|(i, outcome)| {
        let (check, reason) = match outcome {
            RolloutOutcome::Valid => return None,
            RolloutOutcome::Soft(reason) => (Check::Distribution, reason),
            RolloutOutcome::Failed(check, reason) => (check, reason),
            RolloutOutcome::Skipped(_) => (Check::Rollout, Reason::None),
        };
        Some(OwnFinding { rollout: Some(i as u32), check, reason })
    });
    of_rollouts.chain(of_group).collect()
}

/// The passes that the engine gave, by the rollouts' tokens.
struct Passes<'a> {
    rollouts: &'a [Rollout],
    passes: &'a [&'a ProofPass],
}

impl Recompute for Passes<'_> {
    fn recompute(&self, tokens: &[u32], _: &str) -> Result<ProofPass, RecomputeError> {
        let known = self.rollouts.iter().zip(self.passes).find(|(rollout, _)| rollout.commit.tokens == tokens);
        known.map(|(_, pass)| (*pass).clone()).ok_or_else(|| RecomputeError {
            tokens: tokens.len(),
            why: "no pass was given for this sequence".to_owned(),
        })
    }
}
