//! Where a replay differs from its tape, and what kind of difference that is.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::format::Step;

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The tape answers what was never asked: an event is missing before this one.
    RecordingGap,
    /// Replaying once more gives yet another result.
    NonDeterminism,
    /// The same actions in another order.
    ReorderedActions,
    /// Other actions: this build decides otherwise.
    ChangedBehaviour,
    /// The actions are the same, and the state behind them is not.
    ChangedState,
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
    /// What kind of difference it is.
    pub class: Class,
    /// Recorded and replayed actions side by side.
    pub lines: Vec<Line>,
    /// The steps before, newest last: time and event.
    pub before: Vec<String>,
}

impl Class {
    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::RecordingGap => "the tape is incomplete: its recorder lost an event, so record it again",
            Self::NonDeterminism => "something random decides: look for hash maps, clocks and threads in the core",
            Self::ReorderedActions => "this build asks for the same in another order: if that is meant, record it anew",
            Self::ChangedBehaviour => "this build decides otherwise: if that is meant, record it anew; else bisect",
            Self::ChangedState => {
                "this build remembers otherwise: compare the state's fields before and after this step"
            }
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecordingGap => "an event is missing on the tape",
            Self::NonDeterminism => "two replays differ",
            Self::ReorderedActions => "the same actions in another order",
            Self::ChangedBehaviour => "other actions",
            Self::ChangedState => "the same actions and another state",
        })
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, monotonic_ms, event, class, lines, before } = self;
        writeln!(f, "step {step} at {monotonic_ms} ms: {class}")?;
        for earlier in before {
            writeln!(f, "    {earlier}")?;
        }
        writeln!(f, "  > {monotonic_ms} {event}")?;
        for line in lines {
            match line {
                Line::Both(action) => writeln!(f, "      {action}")?,
                Line::Recorded(action) => writeln!(f, "    - {action}")?,
                Line::Replayed(action) => writeln!(f, "    + {action}")?,
            }
        }
        write!(f, "  {}", class.remedy())
    }
}

/// The lines of both, aligned: the common beginning and end once, what lies between as removed and added.
pub(super) fn compared(recorded: &[String], replayed: &[String]) -> Vec<Line> {
    let shorter = recorded.len().min(replayed.len());
    let head = (0..shorter).take_while(|&i| recorded[i] == replayed[i]).count();
    let from_end = |i: usize| recorded[recorded.len() - 1 - i] == replayed[replayed.len() - 1 - i];
    let tail = (0..shorter - head).take_while(|&i| from_end(i)).count();
    let both = |lines: &[String]| lines.iter().cloned().map(Line::Both).collect::<Vec<_>>();
    let only_recorded = recorded[head..recorded.len() - tail].iter().cloned().map(Line::Recorded);
    let only_replayed = replayed[head..replayed.len() - tail].iter().cloned().map(Line::Replayed);
    let mut lines = both(&recorded[..head]);
    lines.extend(only_recorded.chain(only_replayed));
    lines.extend(both(&recorded[recorded.len() - tail..]));
    lines
}

/// Whether two lists hold the same lines, each as often.
pub(super) fn is_reordered(recorded: &[String], replayed: &[String]) -> bool {
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    sorted(recorded) == sorted(replayed)
}

/// Counts questions and answers on the tape itself: an answer that nothing asked for means that a step is missing.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<&'static str, i64>);

impl Questions {
    /// Take note of a step as recorded; false if its event answers nothing that was asked before.
    pub(super) fn note(&mut self, step: &Step) -> bool {
        let event = format!("{:?}", step.event);
        let answered = ANSWERS.iter().find(|(answer, _)| event.starts_with(answer)).map(|(_, question)| *question);
        let is_asked = answered.is_none_or(|question| {
            let open = self.0.entry(question).or_default();
            *open -= 1;
            *open >= 0
        });
        for action in &step.actions {
            if let Some((_, question)) = ANSWERS.iter().find(|(_, question)| action.starts_with(question)) {
                *self.0.entry(question).or_default() += 1;
            }
        }
        is_asked
    }
}

/// How the text of an answer begins, and that of the action that asks for it.
const ANSWERS: [(&str, &str); 9] = [
    ("BlockHashRead", "ReadBlockHash"),
    ("BeaconAnswered", "FetchBeacon"),
    ("RegistrationRead", "ReadRegistration"),
    ("CommitmentRead", "ReadCommitment"),
    ("CommitmentAnswered", "commit "),
    ("JournalAnswered", "append "),
    ("UploadAnswered", "upload "),
    ("ObjectRead", "ReadObject"),
    ("ObjectDeleted", "DeleteObject"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_common_is_shown_once() {
        let found = compared(&lines(&["a", "b", "c", "d"]), &lines(&["a", "x", "d"]));
        let [both, recorded, replayed] =
            [Line::Both, Line::Recorded, Line::Replayed].map(|kind| move |text: &str| kind(text.to_owned()));
        assert_eq!(found, [both("a"), recorded("b"), recorded("c"), replayed("x"), both("d")]);
        assert_eq!(compared(&lines(&["a", "a"]), &lines(&["a"])).len(), 2);
        assert_eq!(compared(&[], &[]), []);
    }

    #[test]
    fn order_is_told_from_content() {
        assert!(is_reordered(&lines(&["a", "b", "a"]), &lines(&["a", "a", "b"])));
        assert!(!is_reordered(&lines(&["a", "b"]), &lines(&["a", "b", "b"])));
    }
}
