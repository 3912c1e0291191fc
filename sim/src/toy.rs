//! The toy model on the CPU as a generator: real text, real probabilities, real sketches.

use grail_engine::CpuEngine;
use grail_miner::ports::{EngineError, GenerateRequest};
use grail_protocol::generation::GeneratedRollout;

use crate::engine::Generator;

impl Generator for CpuEngine {
    fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        let GenerateRequest { prompt, streams, randomness, new_tokens_max } = request;
        self.generate_group(prompt, streams, randomness, *new_tokens_max)
            .map_err(|error| EngineError(error.to_string()))
    }
}
