//! A window file before our own verifier, with the model on the processor or on a GPU.

pub mod render;

use std::rc::Rc;

use grail_cuda::TorchNumerics;
use grail_protocol::generation::{ModelLimits, ProofModel};
use grail_protocol::python_json::Value;
use grail_verify::{Recomputed, Report, Scope, WindowFacts, verify_value};

use crate::prover::proof_model;
use grail_live::device::DeviceChoice;

/// Device and model that recompute proofs.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    /// The device.
    pub device: DeviceChoice,
    /// The model: a folder, or `toy`; on a GPU also a hub id.
    pub model: &'a str,
    /// Numerics, on a GPU.
    pub numerics: TorchNumerics,
}

/// Judges a window file; `facts` are what a validator knows, given the model's limits.
///
/// # Errors
/// What `facts` gives.
pub fn judge(
    model: &Rc<dyn ProofModel>,
    document: &Value,
    scope: Scope,
    facts: impl FnOnce(ModelLimits) -> anyhow::Result<WindowFacts>,
) -> anyhow::Result<Report> {
    let facts = facts(model.limits())?;
    Ok(verify_value(document, &facts, model.tokenizer(), &Recomputed::new(model.clone()), scope))
}

impl Judging<'_> {
    /// Loads the model.
    ///
    /// # Errors
    /// If the model or the device cannot be used.
    pub fn model(&self) -> anyhow::Result<Rc<dyn ProofModel>> {
        proof_model(self.device, self.model, self.numerics)
    }
}
