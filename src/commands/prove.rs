//! `grail prove`.

use std::path::Path;

use anyhow::Context;
use grail_engine::CpuEngine;
use grail_protocol::generation::ProofPass;
use serde_json::json;

use crate::args::ProveArguments;
use crate::exit::Exit;
use grail_folder::bounded;
use grail_live::device::DeviceChoice;
use grail_operator::prover::DeviceProver;
use grail_terminal::output;

/// Longest list of tokens; a context of 40,960 has 300 KB.
const TOKENS_BYTES_MAX: usize = 16 << 20;

pub(super) fn run(arguments: &ProveArguments) -> anyhow::Result<Exit> {
    let tokens = tokens(&arguments.tokens)?;
    let pass = match arguments.device {
        DeviceChoice::Cpu => on_the_processor(arguments, &tokens)?,
        DeviceChoice::Cuda(ordinal) => {
            let prover = DeviceProver::open(&arguments.model, ordinal, arguments.numerics)?;
            prover.pass(&tokens, tokens.len(), &arguments.randomness)?
        }
    };
    output::line(json!({ "s_vals": pass.s_vals }));
    Ok(Exit::Success)
}

fn on_the_processor(arguments: &ProveArguments, tokens: &[u32]) -> anyhow::Result<ProofPass> {
    let engine = match arguments.model.as_str() {
        "toy" => CpuEngine::toy()?,
        folder => CpuEngine::from_folder(folder.as_ref())?,
    };
    Ok(engine.proof_pass(tokens, &arguments.randomness)?)
}

/// Token ids as a JSON list, from a file or from standard input.
fn tokens(source: &str) -> anyhow::Result<Vec<u32>> {
    let text = match source {
        "-" => bounded::read_from(std::io::stdin().lock(), TOKENS_BYTES_MAX),
        path => bounded::read(Path::new(path), TOKENS_BYTES_MAX),
    };
    let text = text.with_context(|| format!("cannot read {source}; name a file or -"))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{source} holds no JSON list of token ids, such as [1, 2, 3]"))
}
