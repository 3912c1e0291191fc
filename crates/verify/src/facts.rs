//! A validator's facts besides the file: from the chain, and from the model's forward pass.

use grail_protocol::generation::{ModelLimits, ProofPass, RecomputeError};
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

/// The window that a file is checked for, as the validator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowFacts {
    /// Address of the miner whose file it should be.
    pub hotkey: String,
    /// Address of the validator; it seeds the choice of groups.
    pub validator_hotkey: String,
    /// First block of the window.
    pub window_start: u64,
    /// Hash of that block, `0x` and 64 lower-case hex digits.
    pub block_hash: String,
    /// The validator's own randomness, which chooses opened positions and drawn groups.
    pub challenge_randomness: String,
    /// The model's limits.
    pub limits: ModelLimits,
}

impl WindowFacts {
    /// Returns the facts for a miner's check of its own group, in which it is its own validator.
    pub fn of_own(window: &WindowContext, limits: ModelLimits) -> Self {
        let hotkey = window.hotkey.to_ss58();
        Self {
            validator_hotkey: hotkey.clone(),
            hotkey,
            window_start: window.window_start,
            block_hash: window.block_hash.clone(),
            challenge_randomness: window.randomness.clone(),
            limits,
        }
    }
}

/// One float32 forward over a sequence, by whatever means.
pub trait Recompute {
    /// Sketches under the projection that `randomness` gives, and raw probabilities, of all of `tokens`.
    ///
    /// # Errors
    /// If the forward fails; the rollout is then rejected for `inference_error`.
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError>;
    /// Hears which sequences are likely asked for next, so that several can be computed together.
    fn expect(&self, _sequences: Vec<Vec<u32>>) {}
}
