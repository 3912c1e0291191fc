//! From generated rollouts to a signed group that was checked with the validator's own rules.

use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};
use grail_protocol::group::SignedGroup;
use grail_protocol::rollout::{AssembleError, GroupOrigin, WindowContext, assemble_group};
use grail_protocol::shared::Shared;
use grail_verify::{OwnFinding, WindowFacts, check_own_group};

use serde::{Deserialize, Serialize};

use crate::ports::Signer;

/// A group as the machine sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SealedGroup {
    /// The signed rollouts.
    pub rollouts: SignedGroup,
    /// The generated rollouts; valid ones are kept when another one is sampled again.
    pub generated: Shared<GeneratedRollout>,
    /// Findings of the validator's checks; empty for a group that may be uploaded.
    pub findings: Vec<OwnFinding>,
}

/// Assembles, signs and checks one group.
///
/// # Errors
/// [`AssembleError`] if the rollouts do not make a group.
pub fn seal(
    window: &WindowContext,
    origin: GroupOrigin,
    generated: Vec<GeneratedRollout>,
    limits: ModelLimits,
    tokenizer: &dyn Tokenizer,
    signer: &dyn Signer,
) -> Result<SealedGroup, AssembleError> {
    let rollouts = assemble_group(window, origin, &generated, tokenizer, &|message| signer.sign(message))?;
    let facts = WindowFacts::of_own(window, limits);
    let passes: Vec<_> = generated.iter().map(|rollout| &rollout.pass).collect();
    // One rollout that a validator rejects costs twelve windows, and a low-probability end token is a legal sample.
    let findings = check_own_group(&rollouts, &passes, &facts, tokenizer);
    let rollouts = SignedGroup::from(rollouts);
    if findings.is_empty() {
        // Packed here, because the core would wait for it.
        rollouts.packed();
    }
    Ok(SealedGroup { rollouts, generated: generated.into(), findings })
}
