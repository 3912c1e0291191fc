//! A whole window's work: groups asked for as a miner asks, decoded and proved.

use std::sync::mpsc;
use std::time::Instant;

use grail_engine::EngineError;
use grail_engine::cuda::engine::Ticket;
use grail_engine::cuda::{CudaEngine, CudaError, CudaSettings, GroupWork, TorchProfile};
use grail_protocol::generation::{GeneratedRollout, StreamKey};

use super::BenchReport;

/// Tokens of a prompt and of a completion.
const PROMPT: u32 = 330;
const COMPLETION: usize = 400;
/// Tokens of a completion of the batch that is not counted.
const WARM_UP: usize = 20;
/// Seconds of a window that belong to generation.
const WINDOW_S: f64 = 330.0;
/// Rollouts of a group.
const GROUP: u32 = 4;
/// Any randomness will do.
const RANDOMNESS: &str = "9e6443b70cc946288c845b0a59534ef9b7d29df4e392470fcd151e35918f57e9";

type Answer = Result<Vec<GeneratedRollout>, EngineError>;

/// Do a batch of groups from their prompts to their proofs, and add how many rollouts a whole window gives at that pace.
///
/// A window repeats such batches, so nothing is left out of a batch's time: neither the prompts nor the last proof.
///
/// # Errors
/// Where the model cannot be loaded or the device fails.
pub fn measure(report: &mut BenchReport, model: &str, ordinal: usize, batches: u32) -> Result<(), EngineError> {
    let mut settings = CudaSettings::new(model, ordinal);
    settings.profile = TorchProfile::Torch2_10;
    settings.kernel_cache = crate::device::kernel_cache();
    let groups = settings.decode.rollouts_max as u32 / GROUP;
    let engine = CudaEngine::start(settings)?;
    // Shapes are recorded when they first occur: a window is rarely the first that a miner works on.
    batch(&engine, 0, groups, WARM_UP)?;
    let mut free_after_first = None;
    for number in 1..=batches {
        let outcome = batch(&engine, number * groups, groups, COMPLETION)?;
        let whole = f64::from(groups * GROUP) / outcome.all_s * WINDOW_S;
        let (first_s, all_s, tokens) = (outcome.first_s, outcome.all_s, outcome.tokens);
        let remark = format!("{tokens} new tokens and proofs in {all_s:.1} s, the first group after {first_s:.1} s");
        report.remark("rollouts in a window of 330 s", whole, "rollouts", None, remark);
        // The first batch makes room for its longest sequence; from then on nothing may grow.
        let free = engine.free_memory()?;
        let growth = *free_after_first.get_or_insert(free) as f64 - free as f64;
        if number > 1 {
            report.add("growth of memory in use since the first batch", growth / f64::from(1 << 20), "MiB", None);
        }
    }
    Ok(())
}

/// What a batch of groups took.
struct Outcome {
    tokens: usize,
    first_s: f64,
    all_s: f64,
}

fn batch(engine: &CudaEngine, from: u32, groups: u32, completion: usize) -> Result<Outcome, EngineError> {
    let (sender, answers) = mpsc::channel();
    let begin = Instant::now();
    let tickets = (from..from + groups).map(|group| ask(engine, group, completion, &sender));
    let _tickets = tickets.collect::<Result<Vec<Ticket>, EngineError>>()?;
    let (mut tokens, mut first_s) = (0, None);
    for _ in 0..groups {
        let generated = answers.recv().map_err(|_| CudaError::Ended)??;
        tokens += generated.iter().map(|r| r.tokens.len() - r.prompt_length).sum::<usize>();
        first_s.get_or_insert(begin.elapsed().as_secs_f64());
    }
    Ok(Outcome { tokens, first_s: first_s.unwrap_or_default(), all_s: begin.elapsed().as_secs_f64() })
}

fn ask(
    engine: &CudaEngine,
    group: u32,
    new_tokens_max: usize,
    sender: &mpsc::Sender<Answer>,
) -> Result<Ticket, EngineError> {
    let stream = |rollout| StreamKey { seed: 5, window_start: 0, group, rollout, attempt: 0 };
    let work = GroupWork {
        prompt: (0..PROMPT).map(|i| i * 7919 % 150_000 + group % 97).collect(),
        streams: (0..GROUP).map(stream).collect(),
        randomness: RANDOMNESS.to_owned(),
        new_tokens_max,
    };
    let sender = sender.clone();
    // Nobody may listen any more at the end.
    engine.submit(work, Box::new(move |answer| sender.send(answer).unwrap_or_default()))
}
