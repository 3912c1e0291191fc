//! The rehearsal model on the CPU as a generator: real text, real probabilities, real sketches.

use grail_engine::CpuEngine;
use grail_miner::ports::{EngineError, GroupRequest};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, ProofPass, Tokenizer};
use grail_verify::RecomputeError;

use crate::engine::Generator;

impl Generator for CpuEngine {
    fn generate(&self, request: &GroupRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        let GroupRequest { prompt, streams, randomness, new_tokens_max } = request;
        self.generate_group(prompt, streams, randomness, *new_tokens_max)
            .map_err(|error| EngineError(error.to_string()))
    }

    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let failed = |why: String| RecomputeError { tokens: tokens.len(), why };
        self.proof_pass(tokens, randomness).map_err(|error| failed(error.to_string()))
    }

    fn limits(&self) -> ModelLimits {
        Self::limits(self)
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        Self::tokenizer(self)
    }
}
