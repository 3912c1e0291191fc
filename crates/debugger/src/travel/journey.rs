//! The model of time travel: the position on a tape, and the view there.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use grail_miner::machine::{Action, Machine};

use super::condition::{Condition, Moment};
use super::view::View;
use grail_tape::{Frame, Line, Step, Tape, begins_anew, compared};

/// Machines that are kept over the whole tape.
const FAR_MAX: usize = 16;
/// Machines that are kept between two of those around the position.
const NEAR_MAX: usize = 16;

/// A tape without a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tape holds no step, because recording stopped before the first event; choose another tape")]
pub struct NoSteps;

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Direction {
    Forward,
    Back,
}

/// A tape, this build's core, and the position: the step that was handled last.
///
/// Back means to run from a machine that was kept on the way; at most 1 step in 256 of the tape is run again for one step
/// back within the stretch that was run last.
pub struct Journey {
    steps: Vec<Step>,
    /// Whether recorded and replayed actions differ.
    differs: Vec<bool>,
    /// First block and first step of each window.
    windows: Vec<(u64, usize)>,
    /// Machines before the steps of these numbers, in order, over the whole tape.
    far: Vec<(usize, Machine)>,
    /// The same, closer together, for the stretch that was run last.
    near: Vec<(usize, Machine)>,
    /// Machines that continue after a gap in the recording, from the state that was recorded next.
    restarts: Restarts,
    here: Place,
    mark: Option<(usize, View)>,
    /// Conditions on which [`Self::run`] stops.
    pub conditions: Vec<Condition>,
    steps_run: usize,
}

/// By the number of the step that they continue with.
type Restarts = BTreeMap<usize, Machine>;

/// One step, handled.
struct Place {
    number: usize,
    machine: Machine,
    before: View,
    replayed: Vec<String>,
}

impl Journey {
    /// Runs over the whole tape once, and starts at its first step.
    ///
    /// # Errors
    /// [`NoSteps`].
    pub fn open(tape: Tape) -> Result<Self, NoSteps> {
        let machine = tape.machine();
        let windows = tape.windows().iter().map(|span| (span.window_start, span.first_step)).collect();
        let restarts = restarts(&tape);
        let is_step = |frame| match frame {
            Frame::Step(step) => Some(*step),
            Frame::State(_) => None,
        };
        let steps: Vec<Step> = tape.frames.into_iter().filter_map(is_step).collect();
        let spacing = steps.len().div_ceil(FAR_MAX).max(1);
        let (mut far, mut differs) = (Vec::new(), Vec::new());
        let mut running = machine.clone();
        for (number, step) in steps.iter().enumerate() {
            if number % spacing == 0 {
                far.push((number, running.clone()));
            }
            restart(&restarts, number, &mut running);
            differs.push(handled(&mut running, step) != step.actions);
        }
        let here = Place::at(0, machine, steps.first().ok_or(NoSteps)?);
        let (near, conditions) = (Vec::new(), Vec::new());
        Ok(Self { steps, differs, windows, far, near, restarts, here, mark: None, conditions, steps_run: 0 })
    }

    /// Returns every step, as recorded.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the number of the step that was handled last.
    pub const fn number(&self) -> usize {
        self.here.number
    }

    /// That step.
    pub fn step(&self) -> &Step {
        &self.steps[self.here.number]
    }

    /// Returns whether what this build does at a step differs from the tape.
    pub fn differs(&self, number: usize) -> bool {
        self.differs[number]
    }

    /// Steps that are missing on the tape right before a step.
    pub fn missing_before(&self, number: usize) -> u64 {
        let before = number.checked_sub(1).map(|before| self.steps[before].number + 1);
        before.map_or(0, |expected| self.steps[number].number.saturating_sub(expected))
    }

    /// Returns the first step that differs.
    pub fn first_difference(&self) -> Option<usize> {
        self.differs.iter().position(|differs| *differs)
    }

    /// Returns the first blocks of the windows.
    pub fn windows(&self) -> impl Iterator<Item = u64> {
        self.windows.iter().map(|(start, _)| *start)
    }

    /// Recorded and replayed actions of the step, side by side.
    pub fn actions(&self) -> Vec<Line> {
        compared(&self.step().actions, &self.here.replayed)
    }

    /// Returns the state after the step.
    pub fn state(&self) -> View {
        View::of(self.here.machine.state())
    }

    /// Returns the state to compare with, and after which step it was: that of the mark, or the one before this step.
    pub fn reference(&self) -> (Option<usize>, &View) {
        match &self.mark {
            Some((number, view)) => (Some(*number), view),
            None => (self.here.number.checked_sub(1), &self.here.before),
        }
    }

    /// Compares with this step from now on; at the mark itself, with the step before again.
    pub fn toggle_mark(&mut self) {
        let is_here = self.mark.as_ref().is_some_and(|(number, _)| *number == self.here.number);
        self.mark = (!is_here).then(|| (self.here.number, self.state()));
    }

    /// Goes to a step, at most to the last one.
    pub fn goto(&mut self, number: usize) {
        let number = number.min(self.steps.len() - 1);
        if number != self.here.number {
            let machine = self.before(number);
            self.arrive(number, machine);
        }
    }

    /// Goes this many steps.
    pub fn go(&mut self, direction: Direction, steps: usize) {
        self.goto(match direction {
            Direction::Forward => self.here.number + steps,
            Direction::Back => self.here.number.saturating_sub(steps),
        });
    }

    /// Goes to the first step of a window; false if the tape has no such window.
    pub fn goto_window(&mut self, start: u64) -> bool {
        let found = self.windows.iter().find(|(known, _)| *known == start).map(|(_, number)| *number);
        found.into_iter().for_each(|number| self.goto(number));
        found.is_some()
    }

    /// Goes to the next step that differs; false if there is none.
    pub fn goto_difference(&mut self, direction: Direction) -> bool {
        let here = self.here.number;
        let found = match direction {
            Direction::Forward => (here + 1..self.steps.len()).find(|number| self.differs[*number]),
            Direction::Back => (0..here).rfind(|number| self.differs[*number]),
        };
        found.into_iter().for_each(|number| self.goto(number));
        found.is_some()
    }

    /// Continues until a condition holds, and returns it; without conditions it stays.
    pub fn run(&mut self, direction: Direction) -> Option<Condition> {
        let (number, condition) = match direction {
            Direction::Forward => self.matches(self.here.number + 1, self.steps.len(), true).pop(),
            Direction::Back => self.last_match_before(self.here.number),
        }?;
        self.goto(number);
        Some(condition)
    }

    /// Steps that were run since the tape was opened.
    pub const fn steps_run(&self) -> usize {
        self.steps_run
    }

    /// Stretches by stretch, the last one first, since a machine only runs forward.
    fn last_match_before(&mut self, end: usize) -> Option<(usize, Condition)> {
        let starts: Vec<usize> = self.far.iter().map(|(number, _)| *number).filter(|number| *number < end).collect();
        let ends: Vec<usize> = starts.iter().skip(1).copied().chain([end]).collect();
        starts.into_iter().zip(ends).rev().find_map(|(from, to)| self.matches(from, to, false).pop())
    }

    /// Returns the steps from `from` up to `to` at which a condition holds; `first` ends at the first.
    fn matches(&mut self, from: usize, to: usize, first: bool) -> Vec<(usize, Condition)> {
        let mut found = Vec::new();
        if from >= to || self.conditions.is_empty() {
            return found;
        }
        let mut machine = self.before(from);
        for number in from..to {
            let step = &self.steps[number];
            restart(&self.restarts, number, &mut machine);
            let replayed = handled(&mut machine, step);
            self.steps_run += 1;
            let moment = Moment { number, step, replayed: &replayed, machine: &machine, view: OnceCell::new() };
            let holding = self.conditions.iter().find(|condition| condition.holds(&moment));
            found.extend(holding.map(|condition| (number, condition.clone())));
            if first && !found.is_empty() {
                break;
            }
        }
        found
    }

    /// Returns the machine as it was before a step.
    fn before(&mut self, number: usize) -> Machine {
        let kept = self.far.iter().chain(&self.near).filter(|(at, _)| *at <= number).max_by_key(|(at, _)| *at);
        let (mut at, machine) = kept.map(|(at, machine)| (*at, machine)).expect("the first step's machine is kept");
        // The machine here has handled its own step.
        let after_here = self.here.number + 1;
        let mut machine = if after_here <= number && after_here > at {
            at = after_here;
            self.here.machine.clone()
        } else {
            machine.clone()
        };
        let spacing = self.steps.len().div_ceil(FAR_MAX * NEAR_MAX).max(1);
        let mut passed = Vec::new();
        for step in &self.steps[at..number] {
            if at % spacing == 0 {
                passed.push((at, machine.clone()));
                passed.drain(..passed.len().saturating_sub(NEAR_MAX));
            }
            restart(&self.restarts, at, &mut machine);
            handled(&mut machine, step);
            at += 1;
            self.steps_run += 1;
        }
        if passed.len() > 1 {
            self.near = passed;
        }
        machine
    }

    fn arrive(&mut self, number: usize, mut machine: Machine) {
        restart(&self.restarts, number, &mut machine);
        self.here = Place::at(number, machine, &self.steps[number]);
        self.steps_run += 1;
    }
}

impl Place {
    fn at(number: usize, mut machine: Machine, step: &Step) -> Self {
        let before = View::of(machine.state());
        let replayed = handled(&mut machine, step);
        Self { number, machine, before, replayed }
    }
}

fn restarts(tape: &Tape) -> Restarts {
    let (mut restarts, mut number, mut expected, mut is_gap) = (Restarts::new(), 0, None, false);
    for frame in &tape.frames {
        match frame {
            Frame::Step(step) => {
                is_gap |= expected.is_some_and(|expected| step.number > expected);
                expected = Some(step.number + 1);
                if begins_anew(number, step) {
                    restarts.insert(number, tape.header.machine());
                }
                number += 1;
            }
            Frame::State(state) if is_gap => {
                let machine = tape.header.machine_in(state);
                is_gap = machine.is_none();
                restarts.extend(machine.map(|machine| (number, machine)));
            }
            Frame::State(_) => {}
        }
    }
    restarts
}

fn restart(restarts: &Restarts, number: usize, machine: &mut Machine) {
    if let Some(restart) = restarts.get(&number) {
        machine.clone_from(restart);
    }
}

fn handled(machine: &mut Machine, step: &Step) -> Vec<String> {
    machine.handle(step.now(), step.event.clone()).iter().map(Action::summary).collect()
}
