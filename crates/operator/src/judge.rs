//! A window file before our own verifier, with the model on the processor or on a GPU.

pub mod told;

use std::path::Path;
use std::rc::Rc;

use anyhow::bail;
use grail_cuda::TorchNumerics;
use grail_engine::CpuEngine;
use grail_protocol::generation::{ModelLimits, ProofModel};
use grail_protocol::python_json::Value;
use grail_verify::{Recomputed, Report, Scope, WindowFacts, verify_value};

use crate::prover::DeviceProver;
use grail_live::device::DeviceChoice;

/// What computes proofs again.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    /// Where.
    pub device: DeviceChoice,
    /// The model: a folder, or `toy`; on a GPU also a hub id.
    pub model: &'a str,
    /// Whose bits, on a GPU.
    pub numerics: TorchNumerics,
}

/// Judges a window file; `facts` are what a validator knows, given the model's limits.
///
/// # Errors
/// If the model or the device cannot be used, and what `facts` gives.
pub fn judge(
    document: &Value,
    judging: &Judging<'_>,
    scope: Scope,
    facts: impl FnOnce(ModelLimits) -> anyhow::Result<WindowFacts>,
) -> anyhow::Result<Report> {
    match judging.device {
        DeviceChoice::Cpu => {
            let model: Rc<dyn ProofModel> = Rc::new(match judging.model {
                "toy" => CpuEngine::toy()?,
                folder => CpuEngine::from_folder(Path::new(folder))?,
            });
            let facts = facts(model.limits())?;
            Ok(verify_value(document, &facts, model.tokenizer(), &Recomputed::new(model.clone()), scope))
        }
        DeviceChoice::Cuda(ordinal) => {
            let prover = DeviceProver::open(judging.model, ordinal, judging.numerics)?;
            let Some(tokenizer) = prover.tokenizer() else {
                bail!("the model {} has no tokenizer, and prompts are text; use a folder or a hub id", judging.model);
            };
            Ok(verify_value(document, &facts(prover.limits())?, tokenizer, &prover, scope))
        }
    }
}
