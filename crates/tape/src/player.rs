//! The player: runs the core over a tape's events and compares its actions with the recorded ones.

use serde::Serialize;
use serde_json::Value;

use super::divergence::{Class, Divergence, class_of};
use super::fields::{FieldChange, between_actions, between_states};
use super::format::{Frame, Step};
use super::limits::beginning;
use super::reader::Tape;
use super::role::{Miner, Role};
use super::session::{Asked, Core, Moment, Session, as_built};

/// Steps that a divergence shows before its own.
const STEPS_BEFORE: usize = 8;

/// Reaction to a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Stop.
    Strict,
    /// Tell, and continue.
    Lenient,
}

/// How to replay.
pub struct Options<'a, R: Role = Miner> {
    /// Reaction to a difference.
    pub mode: Mode,
    /// Replay only this many steps of the tape.
    pub until: Option<usize>,
    /// Compare this window only.
    pub window: Option<u64>,
    /// The core that handles the events.
    pub core: &'a Core<'a, R>,
}

/// Result of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Steps that were replayed.
    pub steps: usize,
    /// Actions that were compared.
    pub actions: usize,
    /// States that were compared.
    pub states: usize,
    /// The differences; at most one in strict mode.
    pub divergences: Vec<Divergence>,
    /// Bytes at the tape's end that a crash left unfinished.
    pub torn_bytes: usize,
}

/// A window that is not on a tape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("window {window} is not on this tape; it has {known:?}")]
pub struct NoSuchWindow {
    /// The requested window.
    pub window: u64,
    /// The windows that it has.
    pub known: Vec<u64>,
}

impl<R: Role> Options<'_, R> {
    /// Everything, by the core as it is.
    pub const fn of(mode: Mode) -> Self {
        Self { mode, until: None, window: None, core: &as_built::<R> }
    }
}

/// Replays a tape up to step `until`, or all of it.
pub fn replay<R: Role>(tape: &Tape<R>, mode: Mode, until: Option<usize>) -> Replay {
    replay_with(tape, &Options { until, ..Options::of(mode) }).expect("no window was asked for")
}

/// Replays a tape.
///
/// # Errors
/// [`NoSuchWindow`].
pub fn replay_with<R: Role>(tape: &Tape<R>, options: &Options<'_, R>) -> Result<Replay, NoSuchWindow> {
    let mut replay = Replay { steps: 0, actions: 0, states: 0, divergences: Vec::new(), torn_bytes: tape.torn_bytes };
    let (begin, end) = range(tape, options)?;
    let events = tape.frames[begin..end].iter().filter_map(|frame| match frame {
        Frame::Step(step) => Some(&step.event),
        Frame::State(_) => None,
    });
    R::prepare(&events.collect::<Vec<_>>());
    let mut session = Session::with_core(tape, options.core);
    session.skip_to_state_before(begin);
    while session.frame() < end {
        let is_compared = session.frame() >= begin;
        let at = session.steps();
        let Some(moment) = session.advance() else { break };
        if !is_compared {
            continue;
        }
        let is_gap = matches!(moment, Moment::Step { missing, .. } if missing > 0);
        let player = Player { tape, session: &session };
        let found = match moment {
            Moment::Step { missing, .. } if missing > 0 => Some(player.gap(at, missing)),
            Moment::Step { step, asked, is_asked, .. } => {
                replay.steps += 1;
                replay.actions += step.actions.len();
                player.compare_actions(at, step, &asked, is_asked)
            }
            Moment::State(recorded) => {
                replay.states += 1;
                player.compare_states(at, recorded)
            }
        };
        replay.divergences.extend(found);
        if options.mode == Mode::Strict && !replay.divergences.is_empty() || is_gap && !session.skip_to_state() {
            break;
        }
    }
    Ok(replay)
}

/// Returns the tape with the states that this build's core has, or none if the core asks for other actions on the way.
///
/// The shape of the state may change while every decision stays. A live tape then need not be recorded again.
pub fn restated<R: Role>(tape: &Tape<R>) -> Option<Tape<R>> {
    let mut session = Session::new(tape);
    let mut frames = tape.frames.clone();
    while let Some(moment) = session.advance() {
        match moment {
            Moment::Step { missing, .. } if missing > 0 => return None,
            Moment::Step { step, asked, .. } => {
                if !asked.iter().map(|asked| &asked.line).eq(&step.actions) {
                    return None;
                }
            }
            Moment::State(_) => frames[session.frame() - 1] = Frame::State(session.state()),
        }
    }
    Some(Tape { frames, ..tape.clone() })
}

/// Returns the first and last frame that are compared.
fn range<R: Role>(tape: &Tape<R>, options: &Options<'_, R>) -> Result<(usize, usize), NoSuchWindow> {
    let frame_of = |steps: usize| {
        let mut frames = tape.frames.iter().enumerate().filter(|(_, frame)| matches!(frame, Frame::Step(_)));
        frames.nth(steps).map_or(tape.frames.len(), |(at, _)| at)
    };
    let end = options.until.map_or(tape.frames.len(), frame_of);
    let Some(window) = options.window else { return Ok((0, end)) };
    let windows = tape.windows();
    let first = tape.window(window)?.first_frame;
    let next =
        windows.iter().find(|span| span.window_start > window).map_or(tape.frames.len(), |next| next.first_frame);
    Ok((first, next.min(end)))
}

/// A session right after a doubtful step.
struct Player<'a, 's, R: Role> {
    tape: &'a Tape<R>,
    session: &'s Session<'a, R>,
}

impl<R: Role> Player<'_, '_, R> {
    fn compare_actions(&self, at: usize, step: &Step<R>, asked: &[Asked<R>], is_asked: bool) -> Option<Divergence> {
        let replayed: Vec<String> = asked.iter().map(|asked| asked.line.clone()).collect();
        if replayed == step.actions {
            return None;
        }
        let (again, changes) = self.again(at);
        let is_same = again == replayed;
        let class = class_of(is_same, is_asked, &step.actions, &replayed);
        let mut divergence = Divergence { class, ..self.divergence(at, &replayed) };
        let only = divergence.first_pair();
        if let (Some(recorded), Some(replayed)) = &only {
            divergence.fields = between_actions(recorded, replayed);
        }
        let differing = only.1.and_then(|line| asked.iter().find(|asked| asked.line == line));
        divergence.origin =
            differing.map(|asked| asked.origin).or_else(|| self.origin_of(only.0.as_deref())).map(shown);
        divergence.state = changes;
        Some(divergence)
    }

    fn compare_states(&self, steps: usize, recorded: &Value) -> Option<Divergence> {
        let state = between_states(recorded, &self.session.state());
        if state.is_empty() {
            return None;
        }
        let at = steps.checked_sub(1)?;
        let mut again = self.session.again();
        again.go_to(steps);
        let is_same = again.state() == self.session.state();
        let class = if is_same { Class::ChangedState } else { Class::NonDeterminism };
        Some(Divergence { class, state, ..self.divergence(at, &self.step(at)?.actions) })
    }

    fn gap(&self, at: usize, missing: u64) -> Divergence {
        let recorded = self.step(at).map(|step| step.actions.clone()).unwrap_or_default();
        Divergence { class: Class::RecordingGap, missing, ..self.divergence(at, &recorded) }
    }

    fn step(&self, at: usize) -> Option<&Step<R>> {
        self.tape.steps().nth(at)
    }

    fn divergence(&self, at: usize, replayed: &[String]) -> Divergence {
        let step = self.step(at).expect("a divergence is at a step");
        let line_of = |step: &Step<R>| format!("{} {}", step.monotonic_ms, beginning(&step.event_line()));
        let first = at.saturating_sub(STEPS_BEFORE);
        let before = self.tape.steps().skip(first).take(at - first).map(line_of).collect();
        Divergence { causes: self.session.causes(at), before, ..Divergence::at(at, step, replayed) }
    }

    /// Runs the same steps again; returns the actions of step `at`, and how that step changes the state.
    fn again(&self, at: usize) -> (Vec<String>, Vec<FieldChange>) {
        let mut session = self.session.again();
        session.go_to(at);
        let before = session.state();
        let mut actions = Vec::new();
        while let Some(moment) = session.advance() {
            if let Moment::Step { asked, .. } = moment {
                actions = asked.into_iter().map(|asked| asked.line).collect();
                break;
            }
        }
        (actions, between_states(&before, &session.state()))
    }

    /// Returns the place that asked for this kind of action last, where it should have been asked for again.
    fn origin_of(&self, recorded: Option<&str>) -> Option<&'static std::panic::Location<'static>> {
        let kind = |line: &str| line.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
        let wanted = kind(recorded?);
        let mut session = self.session.again();
        let mut origin = None;
        while session.steps() < self.session.steps() {
            if let Moment::Step { asked, .. } = session.advance()? {
                origin = asked.iter().rfind(|asked| kind(&asked.line) == wanted).map(|a| a.origin).or(origin);
            }
        }
        origin
    }
}

fn shown(origin: &std::panic::Location<'_>) -> String {
    format!("{}:{}", origin.file(), origin.line())
}
