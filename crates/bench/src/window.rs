//! A whole window's work: groups asked for as a miner asks, decoded and proved.

use std::sync::mpsc;
use std::time::Instant;

use grail_cuda::engine::Ticket;
use grail_cuda::{CudaEngine, CudaEngineError, CudaError, CudaSettings, GroupWork, TorchNumerics};
use grail_protocol::generation::{GeneratedRollout, StreamKey};

use super::BenchReport;

/// Tokens of a prompt and of a completion.
const PROMPT: u32 = 330;
const COMPLETION: usize = 400;
/// The protocol's longest completion.
const COMPLETION_MAX: usize = 1024;
/// Tokens drawn to see whether they depend on the company.
const FIXED_TOKENS: usize = 200;
/// Tokens of a completion of the batch that is not counted.
const WARM_UP: usize = 20;
/// Seconds of a window that belong to generation.
const WINDOW_S: f64 = 330.0;
/// Rollouts of a group.
const GROUP: u32 = 4;
/// Any randomness works.
const RANDOMNESS: &str = "9e6443b70cc946288c845b0a59534ef9b7d29df4e392470fcd151e35918f57e9";

type Answer = Result<Vec<GeneratedRollout>, CudaEngineError>;

/// Does a batch of groups from their prompts to their proofs, and adds how many rollouts a whole window gives at that
/// pace.
///
/// A window repeats such batches, so nothing is left out of a batch's time: neither the prompts nor the last proof.
///
/// # Errors
/// If the model cannot be loaded or the device fails.
pub fn measure(report: &mut BenchReport, model: &str, ordinal: usize, batches: u32) -> Result<(), CudaEngineError> {
    let settings = settings(model, ordinal);
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
        // The first batch allocates for its longest sequence; nothing may grow after it.
        let free = engine.free_memory()?;
        let growth = *free_after_first.get_or_insert(free) as f64 - free as f64;
        if number > 1 {
            report.add("growth of memory in use since the first batch", growth / f64::from(1 << 20), "MiB", None);
        }
    }
    Ok(())
}

/// Works for `seconds` on groups whose completions have all lengths, a few hundred rollouts at a time. Reports how much
/// memory grew after the first batch, and how much of that in the second half of the time. In the first half every
/// length and shape still meets with its kernels for the first time.
///
/// # Errors
/// As [`measure`].
pub fn soak(report: &mut BenchReport, model: &str, ordinal: usize, seconds: u64) -> Result<(), CudaEngineError> {
    let settings = settings(model, ordinal);
    let most = settings.decode.rollouts_max as u32 / GROUP;
    let engine = CudaEngine::start(settings)?;
    let (begin, mut from, mut rollouts, mut batches) = (Instant::now(), 0, 0, 0);
    let (mut free_before, mut free_halfway) = (None, None);
    // The longest first, so that buffers that grow with the length do not grow later.
    let mut longest = COMPLETION_MAX;
    while batches < 2 || begin.elapsed().as_secs() < seconds {
        let groups = most / (1 + batches % 3);
        mixed_batch(&engine, from, groups, longest)?;
        (from, rollouts, batches) = (from + groups, rollouts + groups * GROUP, batches + 1);
        longest = if batches % 4 == 0 { COMPLETION_MAX } else { COMPLETION };
        let free = engine.free_memory()?;
        free_before.get_or_insert(free);
        if begin.elapsed().as_secs() >= seconds / 2 {
            free_halfway.get_or_insert(free);
        }
    }
    let elapsed_s = begin.elapsed().as_secs_f64();
    let free = engine.free_memory()? as f64;
    let growth = |before: Option<u64>| (before.map_or(free, |before| before as f64) - free) / f64::from(1 << 20);
    let what = format!("{batches} batches, {rollouts} rollouts of all lengths in {elapsed_s:.0} s");
    report.remark("mixed load: growth of memory in use", growth(free_before), "MiB", None, what);
    report.add("mixed load: growth in the second half of the time", growth(free_halfway), "MiB", None);
    Ok(())
}

/// Draws a group alone and in a crowd, in fixed shapes, and adds how many of its tokens agree.
///
/// # Errors
/// As [`measure`].
pub fn fixed_shapes(report: &mut BenchReport, model: &str, ordinal: usize) -> Result<(), CudaEngineError> {
    let mut settings = settings(model, ordinal);
    settings.decode.deterministic = true;
    let engine = CudaEngine::start(settings)?;
    let draw = |crowd: u32| -> Result<Vec<Vec<u32>>, CudaEngineError> {
        let (sender, answer) = mpsc::channel();
        let (others_sender, others) = mpsc::channel();
        let _crowd = (1..=crowd).map(|group| ask(&engine, group, WARM_UP + group as usize, &others_sender));
        let _crowd = _crowd.collect::<Result<Vec<Ticket>, CudaEngineError>>()?;
        let _ticket = ask(&engine, 0, FIXED_TOKENS, &sender)?;
        let rollouts = answer.recv().map_err(|_| CudaError::Ended)??;
        (0..crowd).try_for_each(|_| others.recv().map_err(|_| CudaError::Ended)?.map(drop))?;
        Ok(rollouts.into_iter().map(|rollout| rollout.tokens).collect())
    };
    let alone = draw(0)?;
    for crowd in [3, 40] {
        let together = draw(crowd)?;
        let pairs = alone.iter().flatten().zip(together.iter().flatten());
        let equal = pairs.filter(|(a, b)| a == b).count();
        let all = alone.iter().map(Vec::len).sum::<usize>();
        let remark = format!("of {all}, alone and next to {crowd} other groups, fixed shapes");
        report.remark("equal tokens of a group", equal as f64, "tokens", None, remark);
    }
    Ok(())
}

fn settings(model: &str, ordinal: usize) -> CudaSettings {
    let mut settings = CudaSettings::new(model, ordinal);
    settings.numerics = TorchNumerics::Torch2_10;
    settings.kernel_cache = grail_live::device::kernel_cache();
    settings
}

/// A batch whose completions have lengths from a few tokens to `longest`.
fn mixed_batch(engine: &CudaEngine, from: u32, groups: u32, longest: usize) -> Result<(), CudaEngineError> {
    let (sender, answers) = mpsc::channel();
    let length = |group: u32| (group as usize).wrapping_mul(7919) % longest + 1;
    let tickets = (from..from + groups).map(|group| ask(engine, group, length(group), &sender));
    let _tickets = tickets.collect::<Result<Vec<Ticket>, CudaEngineError>>()?;
    (0..groups).try_for_each(|_| answers.recv().map_err(|_| CudaError::Ended)?.map(drop))
}

/// Duration and content of a batch of groups.
struct Outcome {
    tokens: usize,
    first_s: f64,
    all_s: f64,
}

fn batch(engine: &CudaEngine, from: u32, groups: u32, completion: usize) -> Result<Outcome, CudaEngineError> {
    let (sender, answers) = mpsc::channel();
    let begin = Instant::now();
    let tickets = (from..from + groups).map(|group| ask(engine, group, completion, &sender));
    let _tickets = tickets.collect::<Result<Vec<Ticket>, CudaEngineError>>()?;
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
) -> Result<Ticket, CudaEngineError> {
    let stream = |rollout| StreamKey { seed: 5, window_start: 0, group, rollout, attempt: 0 };
    let work = GroupWork {
        prompt: (0..PROMPT).map(|i| i * 7919 % 150_000 + group % 97).collect(),
        streams: (0..GROUP).map(stream).collect(),
        randomness: RANDOMNESS.to_owned(),
        new_tokens_max,
    };
    let sender = sender.clone();
    // The receiver may be gone at the end.
    engine.submit(work, Box::new(move |answer| sender.send(answer).unwrap_or_default()))
}
