//! A model as a validator uses it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use grail_protocol::generation::{ProofModel, ProofPass, RecomputeError};

use crate::facts::Recompute;

/// Recomputes with a model, each sequence once.
pub struct Recomputed {
    model: Rc<dyn ProofModel>,
    /// By the tokens, with the randomness that was projected with.
    passes: RefCell<BTreeMap<Vec<u32>, (String, ProofPass)>>,
    /// Sequences that are likely asked for, in that order.
    expected: RefCell<Vec<Vec<u32>>>,
}

impl Recomputed {
    /// Creates a validator that runs this model.
    pub fn new(model: Rc<dyn ProofModel>) -> Self {
        Self { model, passes: RefCell::default(), expected: RefCell::default() }
    }

    /// Returns the model.
    pub fn model(&self) -> &dyn ProofModel {
        &*self.model
    }

    /// Forgets what was computed; sequences of another window never come back.
    pub fn forget(&self) {
        self.passes.borrow_mut().clear();
        self.expected.borrow_mut().clear();
    }
}

impl Recompute for Recomputed {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let mut passes = self.passes.borrow_mut();
        if passes.get(tokens).is_none_or(|(with, _)| with != randomness) {
            let mut expected = self.expected.borrow_mut();
            let place = expected.iter().position(|sequence| sequence == tokens);
            // What was passed over is known, or not asked for any more.
            expected.drain(..place.map_or(0, |place| place + 1));
            let behind = expected.iter().map(Vec::as_slice).filter(|_| place.is_some());
            let sequences: Vec<&[u32]> = std::iter::once(tokens).chain(behind).collect();
            let computed = self.model.passes(&sequences, randomness)?;
            let mut are_computed = computed.iter().map(Option::is_some).collect::<Vec<_>>().into_iter().skip(1);
            for (sequence, pass) in sequences.into_iter().zip(computed) {
                passes.extend(pass.map(|pass| (sequence.to_vec(), (randomness.to_owned(), pass))));
            }
            expected.retain(|_| !are_computed.next().unwrap_or(false));
        }
        let missing = || RecomputeError { tokens: tokens.len(), why: "the model gave no pass of it".to_owned() };
        passes.get(tokens).map(|(_, pass)| pass.clone()).ok_or_else(missing)
    }

    fn expect(&self, sequences: Vec<Vec<u32>>) {
        *self.expected.borrow_mut() = sequences;
    }
}
