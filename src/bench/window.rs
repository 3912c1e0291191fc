//! A whole window's work: groups asked for as a miner asks, decoded and proved.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use grail_engine::EngineError;
use grail_engine::cuda::engine::Ticket;
use grail_engine::cuda::{CudaEngine, CudaError, CudaSettings, GroupWork, TorchProfile};
use grail_protocol::generation::{GeneratedRollout, StreamKey};

use super::BenchReport;

/// Tokens of a prompt and of a completion.
const PROMPT: u32 = 330;
const COMPLETION: usize = 400;
/// Seconds of a window that belong to generation.
const WINDOW_S: f64 = 330.0;
/// Rollouts of a group.
const GROUP: u32 = 4;
/// Any randomness will do.
const RANDOMNESS: &str = "9e6443b70cc946288c845b0a59534ef9b7d29df4e392470fcd151e35918f57e9";

type Answer = Result<Vec<GeneratedRollout>, EngineError>;

/// Run a window's work for `span` and add how many rollouts a whole window would give.
///
/// # Errors
/// Where the model cannot be loaded or the device fails.
pub fn measure(report: &mut BenchReport, model: &str, ordinal: usize, span: Duration) -> Result<(), EngineError> {
    let mut settings = CudaSettings::new(model, ordinal);
    settings.profile = TorchProfile::Torch2_10;
    settings.kernel_cache = crate::device::kernel_cache();
    let engine = CudaEngine::start(settings)?;
    let (sender, answers) = mpsc::channel();
    let begin = Instant::now();
    let mut tickets = Vec::new();
    for group in 0..engine.groups_in_flight_max() as u32 {
        tickets.push(ask(&engine, group, &sender)?);
    }
    let mut next = engine.groups_in_flight_max() as u32;
    let (mut rollouts, mut tokens, mut first_s) = (0, 0, None);
    while begin.elapsed() < span {
        let Ok(answer) = answers.recv_timeout(span.saturating_sub(begin.elapsed())) else { break };
        let generated: Vec<GeneratedRollout> = answer?;
        rollouts += generated.len();
        tokens += generated.iter().map(|r| r.tokens.len() - r.prompt_length).sum::<usize>();
        first_s.get_or_insert(begin.elapsed().as_secs_f64());
        tickets.push(ask(&engine, next, &sender)?);
        next += 1;
    }
    let taken_s = begin.elapsed().as_secs_f64();
    let ramp_s = first_s.ok_or(CudaError::Ended)?;
    let whole = rollouts as f64 / (taken_s - ramp_s) * (WINDOW_S - ramp_s);
    let remark = format!("{rollouts} in {taken_s:.0} s, {tokens} new tokens, the first after {ramp_s:.1} s");
    report.remark("rollouts in a window of 330 s", whole, "rollouts", None, remark);
    Ok(())
}

fn ask(engine: &CudaEngine, group: u32, sender: &mpsc::Sender<Answer>) -> Result<Ticket, EngineError> {
    let stream = |rollout| StreamKey { seed: 5, window_start: 0, group, rollout, attempt: 0 };
    let work = GroupWork {
        prompt: (0..PROMPT).map(|i| i * 7919 % 150_000 + group % 97).collect(),
        streams: (0..GROUP).map(stream).collect(),
        randomness: RANDOMNESS.to_owned(),
        new_tokens_max: COMPLETION,
    };
    let sender = sender.clone();
    // Nobody may listen any more at the end.
    engine.submit(work, Box::new(move |answer| sender.send(answer).unwrap_or_default()))
}
