//! Invalid inputs, and weights that give invalid results.

use grail_engine::weights::{Checkpoint, WeightSource};
use grail_engine::{CpuEngine, EngineError, toy};

use crate::fixtures::{ENGINE, RANDOMNESS, streams};

/// The toy weights with one tensor overwritten.
struct Damaged {
    weights: Checkpoint,
    tensor: &'static str,
    value: f32,
}

impl WeightSource for Damaged {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let mut values = self.weights.take(name, shape)?;
        if name == self.tensor {
            values.fill(self.value);
        }
        Ok(values)
    }
}

#[test]
fn an_engine_may_be_shared_between_threads() {
    fn is_shareable<T: Send + Sync>(_: &T) {}
    is_shareable(&*ENGINE);
}

#[test]
fn an_empty_sequence_is_refused() {
    assert!(matches!(ENGINE.proof_pass(&[], RANDOMNESS), Err(EngineError::EmptySequence)));
    assert!(matches!(ENGINE.generate_tokens(&[], &streams(0), 5), Err(EngineError::EmptySequence)));
}

#[test]
fn a_token_outside_the_vocabulary_is_refused_with_its_position() {
    let error = ENGINE.proof_pass(&[1, 2, 512], RANDOMNESS).unwrap_err();
    assert!(matches!(error, EngineError::TokenOutsideVocabulary { token: 512, position: 2, vocabulary: 512 }));
    assert!(ENGINE.generate_tokens(&[u32::MAX], &streams(0), 5).is_err());
}

#[test]
fn sequences_beyond_the_context_are_refused_before_the_work() {
    let error = ENGINE.proof_pass(&[1; 2049], RANDOMNESS).unwrap_err();
    assert!(matches!(error, EngineError::SequenceTooLong { tokens: 2049, context: 2048 }));
    for new_tokens_max in [2048, usize::MAX] {
        let error = ENGINE.generate_tokens(&[1], &streams(0), new_tokens_max).unwrap_err();
        assert!(matches!(error, EngineError::SequenceTooLong { .. }));
    }
}

#[test]
fn randomness_that_is_not_hexadecimal_is_refused() {
    for randomness in ["", "xyz"] {
        assert!(matches!(ENGINE.proof_pass(&[1, 2], randomness), Err(EngineError::Randomness(_))));
    }
}

#[test]
fn weights_that_give_no_numbers_are_noticed() {
    for (tensor, value) in [("model.norm.weight", f32::NAN), ("model.layers.1.mlp.up_proj.weight", f32::INFINITY)] {
        let mut weights = Damaged { weights: toy::weights().unwrap(), tensor, value };
        let tokenizer = toy::tokenizer().unwrap();
        let engine = CpuEngine::new(toy::config().unwrap(), &mut weights, tokenizer).unwrap();
        let sampled = engine.generate_tokens(&[1, 2, 3], &streams(0), 5);
        assert!(matches!(sampled, Err(EngineError::Sampling { position: 3, .. })), "{sampled:?}");
        assert!(matches!(engine.proof_pass(&[1, 2, 3], RANDOMNESS), Err(EngineError::Sketch(_))));
    }
}
