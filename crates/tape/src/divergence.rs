//! Difference between a replay and its tape, with its class.

use std::fmt;

use serde::Serialize;

use super::fields::FieldChange;
use super::format::Step;
use super::limits::beginning;
use super::role::Role;
use super::session::Cause;
use grail_terminal::printable;

/// Changed fields of a state that the text shows; JSON has all of them.
const CHANGES_SHOWN: usize = 12;

/// Class of the difference. Other tokens explain other sketches, and those another rounding: the higher one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The tape has an answer without a question: an event is missing before this one.
    RecordingGap,
    /// Replaying once more gives yet another result.
    NonDeterminism,
    /// The same actions in another order.
    ReorderedActions,
    /// Other actions: this build decides otherwise.
    ChangedBehavior,
    /// The actions are the same, but the state differs.
    ChangedState,
    /// The engine gives other sketches for the same tokens, near enough for a validator.
    DifferentRounding,
    /// The engine gives other sketches for the same tokens, and a validator would reject them.
    DifferentSketches,
    /// The engine samples other tokens from the same streams.
    DifferentTokens,
}

/// One line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "in", content = "action", rename_all = "snake_case")]
pub enum Line {
    /// In both.
    Both(String),
    /// On the tape alone.
    Recorded(String),
    /// In the replay alone.
    Replayed(String),
}

/// The first difference of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// Number of the step, from 0.
    pub step: usize,
    /// Monotonic milliseconds of the event.
    pub monotonic_ms: u64,
    /// The event.
    pub event: String,
    /// Class of the difference.
    pub class: Class,
    /// Recorded and replayed actions side by side.
    pub lines: Vec<Line>,
    /// The steps before, newest last: time and event.
    pub before: Vec<String>,
    /// Causes of the step: the question that its event answers, the question that led to that one, and so on.
    pub causes: Vec<Cause>,
    /// Differing fields of the first differing actions.
    pub fields: Vec<FieldChange>,
    /// Differing fields of the state: recorded and replayed if the state differs; before and after the step if actions
    /// differ.
    pub state: Vec<FieldChange>,
    /// Place in the source that asked for the replayed action, or that last asked for such an action.
    pub origin: Option<String>,
    /// Steps that are missing on the tape right before.
    pub missing: u64,
}

impl Divergence {
    /// Creates a difference at a step, without details.
    pub(super) fn at<R: Role>(at: usize, step: &Step<R>, replayed: &[String]) -> Self {
        Self {
            step: at,
            monotonic_ms: step.monotonic_ms,
            event: beginning(&step.event_line()).to_owned(),
            class: Class::ChangedBehavior,
            lines: compared(&step.actions, replayed),
            before: Vec::new(),
            causes: Vec::new(),
            fields: Vec::new(),
            state: Vec::new(),
            origin: None,
            missing: 0,
        }
    }

    /// Returns the first action on the tape alone, and the first in the replay alone.
    pub(super) fn first_pair(&self) -> (Option<String>, Option<String>) {
        let recorded = self.lines.iter().find_map(|line| match line {
            Line::Recorded(action) => Some(action.clone()),
            Line::Both(_) | Line::Replayed(_) => None,
        });
        let replayed = self.lines.iter().find_map(|line| match line {
            Line::Replayed(action) => Some(action.clone()),
            Line::Both(_) | Line::Recorded(_) => None,
        });
        (recorded, replayed)
    }
}

impl Class {
    /// Returns the remedy.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::RecordingGap => "the tape is incomplete: its recorder lost an event, so record it again",
            Self::NonDeterminism => "something random decides: look for hash maps, clocks and threads in the core",
            Self::ReorderedActions => {
                "this build asks for the same in another order: if that is intended, record it again"
            }
            Self::ChangedBehavior => "this build decides otherwise: if that is intended, record it again; else bisect",
            Self::ChangedState => {
                "this build remembers otherwise: if that is intended, record it again; else look at these fields"
            }
            Self::DifferentRounding => {
                "validators accept it, but the numerics have moved: compare library, kernels and GPU with the recorder's"
            }
            Self::DifferentSketches => {
                "validators reject such a proof: it is another model, other weights, or a numeric regression"
            }
            Self::DifferentTokens => "sampling has changed: if that is intended, record it again",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecordingGap => "an event is missing on the tape",
            Self::NonDeterminism => "two replays differ",
            Self::ReorderedActions => "the same actions in another order",
            Self::ChangedBehavior => "other actions",
            Self::ChangedState => "the same actions and another state",
            Self::DifferentRounding => "another rounding",
            Self::DifferentSketches => "other sketches",
            Self::DifferentTokens => "other tokens",
        })
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, monotonic_ms, event, class, lines, before, causes, fields, state, origin, missing } = self;
        writeln!(f, "step {step} at {monotonic_ms} ms: {class}")?;
        if *missing > 0 {
            writeln!(f, "  {missing} steps are missing right before it")?;
        }
        for earlier in before {
            writeln!(f, "    {}", printable(earlier))?;
        }
        writeln!(f, "  > {monotonic_ms} {}", printable(event))?;
        for line in lines {
            match line {
                Line::Both(action) => writeln!(f, "      {}", printable(action))?,
                Line::Recorded(action) => writeln!(f, "    - {}", printable(action))?,
                Line::Replayed(action) => writeln!(f, "    + {}", printable(action))?,
            }
        }
        for change in fields {
            writeln!(f, "  field {change}")?;
        }
        if let Some(origin) = origin {
            writeln!(f, "  asked for in {origin}")?;
        }
        for cause in causes {
            let (event, action) = (printable(&cause.event), printable(&cause.action));
            writeln!(f, "  because step {} at {} ms, {event}, asked: {action}", cause.step, cause.monotonic_ms)?;
        }
        let what = if *class == Class::ChangedState { "state" } else { "the step changes" };
        for change in state.iter().take(CHANGES_SHOWN) {
            writeln!(f, "  {what} {change}")?;
        }
        if state.len() > CHANGES_SHOWN {
            writeln!(f, "  and {} fields more", state.len() - CHANGES_SHOWN)?;
        }
        write!(f, "  {}", class.remedy())
    }
}

/// Returns the lines of both, aligned: the common beginning and end once, what is between as removed and added.
pub fn compared(recorded: &[String], replayed: &[String]) -> Vec<Line> {
    let shorter = recorded.len().min(replayed.len());
    let head = (0..shorter).take_while(|&i| recorded[i] == replayed[i]).count();
    let from_end = |i: usize| recorded[recorded.len() - 1 - i] == replayed[replayed.len() - 1 - i];
    let tail = (0..shorter - head).take_while(|&i| from_end(i)).count();
    let shown = |line: &String| beginning(line).to_owned();
    let both = |lines: &[String]| lines.iter().map(shown).map(Line::Both).collect::<Vec<_>>();
    let only_recorded = recorded[head..recorded.len() - tail].iter().map(shown).map(Line::Recorded);
    let only_replayed = replayed[head..replayed.len() - tail].iter().map(shown).map(Line::Replayed);
    let mut lines = both(&recorded[..head]);
    lines.extend(only_recorded.chain(only_replayed));
    lines.extend(both(&recorded[recorded.len() - tail..]));
    lines
}

/// Returns whether two lists hold the same lines, each as often.
pub(super) fn is_reordered(recorded: &[String], replayed: &[String]) -> bool {
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    sorted(recorded) == sorted(replayed)
}

/// Returns the class of a difference between actions.
pub(super) fn class_of(is_same_again: bool, is_asked: bool, recorded: &[String], replayed: &[String]) -> Class {
    match () {
        () if !is_same_again => Class::NonDeterminism,
        () if !is_asked => Class::RecordingGap,
        () if is_reordered(recorded, replayed) => Class::ReorderedActions,
        () => Class::ChangedBehavior,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn common_parts_are_shown_once() {
        let found = compared(&lines(&["a", "b", "c", "d"]), &lines(&["a", "x", "d"]));
        let [both, recorded, replayed] =
            [Line::Both, Line::Recorded, Line::Replayed].map(|kind| move |text: &str| kind(text.to_owned()));
        assert_eq!(found, [both("a"), recorded("b"), recorded("c"), replayed("x"), both("d")]);
        assert_eq!(compared(&lines(&["a", "a"]), &lines(&["a"])).len(), 2);
        assert_eq!(compared(&[], &[]), []);
    }

    #[test]
    fn another_order_differs_from_other_content() {
        assert!(is_reordered(&lines(&["a", "b", "a"]), &lines(&["a", "a", "b"])));
        assert!(!is_reordered(&lines(&["a", "b"]), &lines(&["a", "b", "b"])));
    }
}
