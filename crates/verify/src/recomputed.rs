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
}

impl Recomputed {
    /// Creates a validator that runs this model.
    pub fn new(model: Rc<dyn ProofModel>) -> Self {
        Self { model, passes: RefCell::default() }
    }

    /// Returns the model.
    pub fn model(&self) -> &dyn ProofModel {
        &*self.model
    }

    /// Forgets what was computed; sequences of another window never come back.
    pub fn forget(&self) {
        self.passes.borrow_mut().clear();
    }
}

impl Recompute for Recomputed {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        if let Some((_, pass)) = self.passes.borrow().get(tokens).filter(|(with, _)| with == randomness) {
            return Ok(pass.clone());
        }
        let pass = self.model.pass(tokens, randomness)?;
        self.passes.borrow_mut().insert(tokens.to_vec(), (randomness.to_owned(), pass.clone()));
        Ok(pass)
    }
}
