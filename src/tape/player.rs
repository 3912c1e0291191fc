//! The player: runs the core over a tape's events and compares what it asks for with what it asked for then.

use grail_miner::machine::Machine;
use serde::Serialize;

use super::divergence::{Class, Divergence, Questions, compared, is_reordered};
use super::format::{Frame, Step, line};
use super::reader::Tape;

/// Steps that a divergence shows before its own.
const STEPS_BEFORE: usize = 8;

/// What to do at a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Stop.
    Strict,
    /// Tell, and go on.
    Lenient,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Steps that were replayed.
    pub steps: usize,
    /// Actions that were compared.
    pub actions: usize,
    /// State digests that were compared.
    pub states: usize,
    /// The differences; at most one in strict mode.
    pub divergences: Vec<Divergence>,
    /// Bytes at the tape's end that a crash left unfinished.
    pub torn_bytes: usize,
}

/// Replay a tape up to step `until`, or all of it.
pub fn replay(tape: &Tape, mode: Mode, until: Option<usize>) -> Replay {
    let mut replay = Replay { steps: 0, actions: 0, states: 0, divergences: Vec::new(), torn_bytes: tape.torn_bytes };
    let mut machine = tape.header.config.machine();
    let mut questions = Questions::default();
    let mut steps: Vec<&Step> = Vec::new();
    for frame in &tape.frames {
        let found = match frame {
            Frame::Step(_) if until.is_some_and(|until| steps.len() >= until) => break,
            Frame::Step(step) => {
                steps.push(step);
                replay.steps += 1;
                replay.actions += step.actions.len();
                let is_asked = questions.note(step);
                let replayed = handled(&mut machine, step);
                (replayed != step.actions).then(|| {
                    let class = class(tape, &steps, is_asked, &replayed);
                    divergence(&steps, class, &replayed)
                })
            }
            Frame::State(digest) => {
                replay.states += 1;
                let step = steps.last().copied();
                step.filter(|_| machine.digest() != *digest)
                    .map(|step| divergence(&steps, Class::ChangedState, &step.actions))
            }
        };
        replay.divergences.extend(found);
        if mode == Mode::Strict && !replay.divergences.is_empty() {
            break;
        }
    }
    replay
}

/// What the machine asks for at a step, as the tape would have it.
fn handled(machine: &mut Machine, step: &Step) -> Vec<String> {
    let actions = machine.handle(step.now(), step.event.clone());
    actions.iter().map(line).collect()
}

fn class(tape: &Tape, steps: &[&Step], is_asked: bool, replayed: &[String]) -> Class {
    let Some((last, before)) = steps.split_last() else { return Class::ChangedBehaviour };
    let mut again = tape.header.config.machine();
    before.iter().for_each(|step| drop(handled(&mut again, step)));
    match () {
        () if handled(&mut again, last) != replayed => Class::NonDeterminism,
        () if !is_asked => Class::RecordingGap,
        () if is_reordered(&last.actions, replayed) => Class::ReorderedActions,
        () => Class::ChangedBehaviour,
    }
}

fn divergence(steps: &[&Step], class: Class, replayed: &[String]) -> Divergence {
    let (step, before) = steps.split_last().expect("a divergence is at a step");
    let told = |step: &&Step| format!("{} {}", step.monotonic_ms, step.event.summary());
    Divergence {
        step: before.len(),
        monotonic_ms: step.monotonic_ms,
        event: step.event.summary(),
        class,
        lines: compared(&step.actions, replayed),
        before: before[before.len().saturating_sub(STEPS_BEFORE)..].iter().map(told).collect(),
    }
}
