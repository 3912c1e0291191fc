//! A whole window's work: groups asked for as a miner asks, decoded and proved.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use grail_cuda::engine::Ticket;
use grail_cuda::{CudaEngine, CudaEngineError, CudaError, CudaSettings, GroupWork, TorchNumerics};
use grail_protocol::generation::{GeneratedRollout, StreamKey};

use super::BenchReport;
use super::proof::RANDOMNESS;

/// Tokens of a prompt and of a completion.
pub(super) const PROMPT: u32 = 330;
const COMPLETION: usize = 400;
/// The protocol's longest completion.
pub(super) const COMPLETION_MAX: usize = 1024;
/// Tokens drawn to see whether they depend on the company.
const FIXED_TOKENS: usize = 200;
/// Groups that a window begins with.
const OPENING: u32 = 16;
/// Tokens of a completion of the batch that is not counted.
const WARM_UP: usize = 20;
/// Seconds of a window that belong to generation.
const WINDOW_S: f64 = 330.0;
/// Rollouts of a group.
const GROUP: u32 = 4;
/// How long an engine may prepare itself, and how often that is checked.
const PREPARATION_MAX: Duration = Duration::from_secs(120);
const PREPARATION_LOOK: Duration = Duration::from_millis(100);

type Answer = Result<Vec<GeneratedRollout>, CudaEngineError>;

/// Works as in a window, from its first group on, and adds how many rollouts a whole window gives at that pace.
///
/// As many groups are in flight as a miner keeps there. A window begins with a few groups; after them come `batches` whole
/// batches, and a window repeats those, so nothing is left out: neither the prompts nor the last proof.
///
/// # Errors
/// If the model cannot be loaded or the device fails.
pub fn measure(report: &mut BenchReport, model: &str, ordinal: usize, batches: u32) -> Result<(), CudaEngineError> {
    let settings = settings(model, ordinal);
    let groups = settings.decode.rollouts_max as u32 / GROUP;
    let engine = CudaEngine::start(settings)?;
    let begin = Instant::now();
    while !engine.is_prepared() && begin.elapsed() < PREPARATION_MAX {
        std::thread::sleep(PREPARATION_LOOK);
    }
    report.add("lengths prepared before the first window", begin.elapsed().as_secs_f64(), "s", None);
    // Shapes are recorded when they first occur: a window is rarely the first that a miner works on.
    work(&engine, 0, OPENING + groups, WARM_UP)?;
    work(&engine, 1, OPENING, COMPLETION)?;
    // The same beginning with nothing behind it, and with whole batches.
    let opening = work(&engine, 2, OPENING, COMPLETION)?;
    let Outcome { first_s, all_s, growth } = work(&engine, 3, OPENING + batches * groups, COMPLETION)?;
    let per_s = f64::from(batches * groups * GROUP) / (all_s - opening.all_s);
    let whole = f64::from(OPENING * GROUP) + per_s * (WINDOW_S - opening.all_s);
    let (opening_s, each_ms) = (opening.all_s, 1e3 / per_s);
    let remark =
        format!("the first {OPENING} groups alone take {opening_s:.1} s, all others {each_ms:.1} ms a rollout");
    report.remark("rollouts in a window of 330 s", whole, "rollouts", None, remark);
    report.add("the first group of a window", first_s, "s", None);
    report.add("growth of memory in use since the first groups", growth, "MiB", None);
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
        let _crowd = (1..=crowd).map(|group| ask(&engine, 0, group, WARM_UP + group as usize, &others_sender));
        let _crowd = _crowd.collect::<Result<Vec<Ticket>, CudaEngineError>>()?;
        let _ticket = ask(&engine, 0, 0, FIXED_TOKENS, &sender)?;
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
    settings.is_decided = Some(grail_verify::is_decided);
    settings
}

/// A batch whose completions have lengths from a few tokens to `longest`.
fn mixed_batch(engine: &CudaEngine, from: u32, groups: u32, longest: usize) -> Result<(), CudaEngineError> {
    let (sender, answers) = mpsc::channel();
    let length = |group: u32| (group as usize).wrapping_mul(7919) % longest + 1;
    let tickets = (from..from + groups).map(|group| ask(engine, 0, group, length(group), &sender));
    let _tickets = tickets.collect::<Result<Vec<Ticket>, CudaEngineError>>()?;
    (0..groups).try_for_each(|_| answers.recv().map_err(|_| CudaError::Ended)?.map(drop))
}

/// How a window's work went.
struct Outcome {
    /// Seconds to the first group.
    first_s: f64,
    /// Seconds until all were there.
    all_s: f64,
    /// MiB that memory in use grew since the first group.
    growth: f64,
}

/// Keeps as many groups in flight as a miner does, until all are there.
fn work(engine: &CudaEngine, window: u64, groups: u32, completion: usize) -> Result<Outcome, CudaEngineError> {
    let (sender, answers) = mpsc::channel();
    let begin = Instant::now();
    let ahead = engine.groups_in_flight_max() as u32;
    let mut tickets = Vec::new();
    for group in 0..groups.min(ahead) {
        tickets.push(ask(engine, window, group, completion, &sender)?);
    }
    let mut first = None;
    for done in 1..=groups {
        answers.recv().map_err(|_| CudaError::Ended)??;
        if first.is_none() {
            first = Some((begin.elapsed().as_secs_f64(), engine.free_memory()?));
        }
        if done + ahead <= groups {
            tickets.push(ask(engine, window, done + ahead - 1, completion, &sender)?);
        }
    }
    let all_s = begin.elapsed().as_secs_f64();
    let free = engine.free_memory()?;
    let (first_s, free_before) = first.unwrap_or((all_s, free));
    Ok(Outcome { first_s, all_s, growth: (free_before as f64 - free as f64) / f64::from(1 << 20) })
}

fn ask(
    engine: &CudaEngine,
    window_start: u64,
    group: u32,
    new_tokens_max: usize,
    sender: &mpsc::Sender<Answer>,
) -> Result<Ticket, CudaEngineError> {
    let stream = |rollout| StreamKey { seed: 5, window_start, group, rollout, attempt: 0 };
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
