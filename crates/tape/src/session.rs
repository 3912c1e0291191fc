//! A session: runs the core over a tape's frames, one at a time, and matches answers with questions.

use std::panic::Location;

use grail_miner::actions::Actions;
use grail_miner::outstanding::{Outstanding, Relation};
use grail_miner::ports::Now;
use serde::Serialize;
use serde_json::Value;

use super::format::{Frame, Step, state_of};
use super::limits::beginning;
use super::reader::Tape;
use super::role::{Miner, Role};

/// Longest chain of causes that is shown.
const CAUSES_MAX: usize = 16;

/// Handler of events: the core, or in a test an altered core.
pub type Core<'a, R = Miner> =
    dyn Fn(&mut <R as Role>::Machine, Now, <R as Role>::Event) -> Actions<<R as Role>::Action> + 'a;

/// Returns the core as it is.
pub fn as_built<R: Role>(machine: &mut R::Machine, now: Now, event: R::Event) -> Actions<R::Action> {
    R::handle(machine, now, event)
}

/// A run of the core over a tape.
pub struct Session<'a, R: Role = Miner> {
    tape: &'a Tape<R>,
    core: &'a Core<'a, R>,
    machine: R::Machine,
    frame: usize,
    /// The frame of the state that it continued from last.
    restored_at: Option<usize>,
    steps: usize,
    outstanding: Outstanding<Cause, R::Action>,
    /// For each step the question that its event answers.
    causes: Vec<Option<Cause>>,
    /// Whether every question was seen: not where a session starts in the middle of a run.
    sees_questions: bool,
    /// The number that the next step should have.
    next_number: Option<u64>,
}

/// Cause of a step: an earlier step and its action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The earlier step.
    pub step: usize,
    /// Its time.
    pub monotonic_ms: u64,
    /// Its event.
    pub event: String,
    /// The action of that step.
    pub action: String,
}

/// An action of the replay.
#[derive(Debug, Clone)]
pub struct Asked<R: Role = Miner> {
    /// As a tape has it.
    pub line: String,
    /// Place in the source that asked for it.
    pub origin: &'static Location<'static>,
    /// The action itself; its credentials are the tape's stand-in.
    pub action: R::Action,
}

/// Result of the next frame.
#[derive(Debug)]
pub enum Moment<'a, R: Role = Miner> {
    /// An event was handled.
    Step {
        /// The step as it was recorded.
        step: &'a Step<R>,
        /// The core's actions now.
        asked: Vec<Asked<R>>,
        /// Whether the event answers a question; true if that is unknown.
        is_asked: bool,
        /// Steps that are missing on the tape right before this one.
        missing: u64,
    },
    /// A recorded state, to be compared with the machine's.
    State(&'a Value),
}

/// Returns whether the process was killed before this step: the next one starts with nothing but its journal.
pub fn begins_anew<R: Role>(steps_before: usize, step: &Step<R>) -> bool {
    steps_before > 0 && R::is_start(&step.event)
}

impl<'a, R: Role> Session<'a, R> {
    /// Before the first step.
    pub fn new(tape: &'a Tape<R>) -> Self {
        Self::with_core(tape, &as_built::<R>)
    }

    /// Returns the same with another core.
    pub fn with_core(tape: &'a Tape<R>, core: &'a Core<'a, R>) -> Self {
        let goes_on = matches!(tape.frames.first(), Some(Frame::State(_)));
        Self {
            tape,
            core,
            machine: tape.machine(),
            frame: usize::from(goes_on),
            restored_at: None,
            steps: 0,
            outstanding: Outstanding::default(),
            causes: Vec::new(),
            sees_questions: !goes_on,
            next_number: (!goes_on).then_some(0),
        }
    }

    /// Handles the next frame; none at the tape's end.
    pub fn advance(&mut self) -> Option<Moment<'a, R>> {
        let frame = self.tape.frames.get(self.frame)?;
        self.frame += 1;
        match frame {
            Frame::State(state) => Some(Moment::State(state)),
            Frame::Step(step) => Some(self.handle(step)),
        }
    }

    fn handle(&mut self, step: &'a Step<R>) -> Moment<'a, R> {
        let missing = self.next_number.map_or(0, |next| step.number.saturating_sub(next));
        self.next_number = Some(step.number + 1);
        if begins_anew(self.steps, step) {
            self.machine = self.tape.header.machine();
            self.outstanding = Outstanding::default();
        }
        let relation = self.outstanding.on_event(&step.event);
        let is_asked = !self.sees_questions || !matches!(relation, Relation::Unasked);
        self.causes.push(match relation {
            Relation::Answers(cause, _) => Some(cause),
            Relation::Unasked | Relation::Spontaneous => None,
        });
        let actions = (self.core)(&mut self.machine, step.now(), step.event.clone());
        let origins = actions.origins().to_vec();
        let (monotonic_ms, event) = (step.monotonic_ms, beginning(&step.event_line()).to_owned());
        let mut asked = Vec::with_capacity(origins.len());
        for (action, origin) in actions.into_iter().zip(origins) {
            let line = R::action_line(&action);
            let action_line = beginning(&line).to_owned();
            let cause = Cause { step: self.steps, monotonic_ms, event: event.clone(), action: action_line };
            self.outstanding.asked(&action, cause);
            asked.push(Asked { line, origin, action });
        }
        self.steps += 1;
        Moment::Step { step, asked, is_asked, missing }
    }

    /// Advances until `steps` steps were handled, or the tape ends.
    pub fn go_to(&mut self, steps: usize) {
        while self.steps < steps && self.advance().is_some() {}
    }

    /// Continues from the next recorded state. Returns false if there is none.
    pub fn skip_to_state(&mut self) -> bool {
        self.skip_to(|_, _| true)
    }

    /// Continues from the last recorded state before frame `end`, if there is one further on.
    pub(super) fn skip_to_state_before(&mut self, end: usize) {
        let frames = &self.tape.frames[..end];
        let last = frames.iter().rposition(|frame| matches!(frame, Frame::State(_)));
        if let Some(last) = last.filter(|last| *last >= self.frame) {
            self.skip_to(|at, _| at == last);
        }
    }

    /// Returns another session that starts where this one started.
    pub(super) fn again(&self) -> Self {
        let mut session = Self::with_core(self.tape, self.core);
        if let Some(frame) = self.restored_at {
            session.skip_to(|at, _| at == frame);
        }
        session
    }

    fn skip_to(&mut self, is_there: impl Fn(usize, &Value) -> bool) -> bool {
        while let Some(frame) = self.tape.frames.get(self.frame) {
            self.frame += 1;
            match frame {
                Frame::State(state) if is_there(self.frame - 1, state) => {
                    let Some(machine) = self.tape.header.machine_in(state) else { continue };
                    self.machine = machine;
                    self.restored_at = Some(self.frame - 1);
                    (self.sees_questions, self.next_number) = (false, None);
                    self.outstanding = Outstanding::default();
                    return true;
                }
                Frame::State(_) => {}
                Frame::Step(_) => {
                    self.steps += 1;
                    self.causes.push(None);
                }
            }
        }
        false
    }

    /// Returns the machine after the last step.
    pub const fn machine(&self) -> &R::Machine {
        &self.machine
    }

    /// Returns the machine's state after the last step.
    pub fn state(&self) -> Value {
        state_of(&R::snapshot(&self.machine))
    }

    /// Steps that were handled or skipped.
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Returns the number of the next frame.
    pub(super) const fn frame(&self) -> usize {
        self.frame
    }

    /// Returns the causes of a step, nearest first.
    pub fn causes(&self, step: usize) -> Vec<Cause> {
        let of = |step: usize| self.causes.get(step).cloned().flatten();
        std::iter::successors(of(step), |cause| of(cause.step)).take(CAUSES_MAX).collect()
    }
}
