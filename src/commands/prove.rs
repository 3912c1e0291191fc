//! `grail prove`.

use std::io::Read;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail};
use grail_engine::CpuEngine;
use grail_engine::cuda::driver::{Queue, Urgency};
use grail_engine::cuda::weights::{ExactWeights, Model};
use grail_engine::cuda::{ProofPlan, Prover, TorchProfile};
use grail_protocol::generation::ProofPass;
use serde_json::json;

use super::output;
use crate::args::ProveArguments;
use crate::device::{self, DeviceChoice};
use crate::hub;

pub(super) fn run(arguments: &ProveArguments) -> anyhow::Result<ExitCode> {
    let Some(profile) = TorchProfile::named(&arguments.profile) else {
        bail!("--profile {:?} is unknown; write torch-2.8 or torch-2.10", arguments.profile);
    };
    let tokens = tokens(&arguments.tokens)?;
    let pass = match arguments.device {
        DeviceChoice::Cpu => on_the_processor(arguments, &tokens)?,
        DeviceChoice::Cuda(ordinal) => on_a_device(arguments, ordinal, profile, &tokens)?,
    };
    output::line(json!({ "s_vals": pass.s_vals }));
    Ok(ExitCode::SUCCESS)
}

fn on_the_processor(arguments: &ProveArguments, tokens: &[u32]) -> anyhow::Result<ProofPass> {
    let engine = match arguments.model.as_str() {
        "rehearsal" => CpuEngine::rehearsal()?,
        folder => CpuEngine::from_folder(folder.as_ref())?,
    };
    Ok(engine.proof_pass(tokens, &arguments.randomness)?)
}

fn on_a_device(
    arguments: &ProveArguments,
    ordinal: usize,
    profile: TorchProfile,
    tokens: &[u32],
) -> anyhow::Result<ProofPass> {
    let (device, kernels) = device::open(ordinal)?;
    let kernels = Rc::new(kernels);
    let mut model = Model::open(&hub::local_name(&arguments.model)?)?;
    let queue = Queue::new(&device, kernels.clone(), Urgency::Usual)?;
    let weights = Arc::new(ExactWeights::load(&model.config, &queue, &mut *model.tensors)?);
    let mut prover = Prover::new(&device, kernels, weights, profile, ProofPlan::default(), 0)?;
    Ok(prover.pass(tokens, tokens.len(), &arguments.randomness)?)
}

/// Token ids as a JSON list, from a file or from standard input.
fn tokens(source: &str) -> anyhow::Result<Vec<u32>> {
    let mut text = String::new();
    if source == "-" {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(source).with_context(|| format!("cannot read {source}; name a file or -"))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{source} holds no JSON list of token ids, such as [1, 2, 3]"))
}
