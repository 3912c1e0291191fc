//! One self-contained HTML page: the first difference if there is one, the windows, and their timeline.

use askama::Template;
use grail_miner::machine::{WindowOutcome, WindowReceipt};

use super::{End, Timeline, WindowLanes};
use grail_tape::{Class, Divergence, Header, Line, Replay};

/// The content.
pub enum Source<'a> {
    /// A tape and what its replay found.
    Tape {
        /// Its file's name.
        name: &'a str,
        /// Its header.
        header: &'a Header,
        /// The result.
        replay: &'a Replay,
    },
    /// A simulation.
    Simulation {
        /// Seed of all randomness.
        seed: u64,
        /// The engine that made the rollouts.
        engine: &'a str,
        /// The faults.
        faults: &'a str,
        /// Hash over every event and action.
        trace_hash: &'a str,
        /// Violations of the oracles.
        violations: &'a [String],
    },
}

/// The page, as its template takes it.
#[derive(Template)]
#[template(path = "page.html")]
pub struct Page<'a> {
    title: String,
    verdict: String,
    is_good: bool,
    facts: Vec<(&'static str, String)>,
    divergence: Option<&'a Divergence>,
    explanation: &'static str,
    is_state_compared: bool,
    pairs: Vec<Pair>,
    rows: Vec<Row>,
    timeline: &'a Timeline,
    style: &'static str,
    script: &'static str,
}

impl<'a> Page<'a> {
    /// Returns the page of a run.
    pub fn new(source: &Source<'a>, timeline: &'a Timeline) -> Self {
        let (title, verdict, is_good, facts, divergence) = match source {
            Source::Tape { name, header, replay } => of_tape(name, header, replay),
            Source::Simulation { seed, engine, faults, trace_hash, violations } => {
                let verdict = if violations.is_empty() { "no violation".to_owned() } else { violations.join("; ") };
                let facts = vec![
                    ("engine", (*engine).to_owned()),
                    ("faults", (*faults).to_owned()),
                    ("trace", (*trace_hash).to_owned()),
                ];
                (format!("Simulation with seed {seed}"), verdict, violations.is_empty(), facts, None)
            }
        };
        Self {
            title,
            verdict,
            is_good,
            facts,
            divergence,
            explanation: divergence.map(|divergence| explanation(divergence.class)).unwrap_or_default(),
            is_state_compared: divergence.is_some_and(|divergence| divergence.class == Class::ChangedState),
            pairs: divergence.map(|divergence| pairs(&divergence.lines)).unwrap_or_default(),
            rows: timeline.windows.iter().map(Row::of).collect(),
            timeline,
            style: include_str!("style.css"),
            script: include_str!("page.js"),
        }
    }

    /// Returns the page's text.
    pub fn html(&self) -> String {
        self.render().expect("a template fails only where its writer does, and a String takes every write")
    }
}

/// Title, verdict, whether that is good, facts, and the first difference.
type Head<'a> = (String, String, bool, Vec<(&'static str, String)>, Option<&'a Divergence>);

fn of_tape<'a>(name: &str, header: &Header, replay: &'a Replay) -> Head<'a> {
    let Replay { steps, actions, states, divergences, torn_bytes } = replay;
    let verdict = match divergences.as_slice() {
        [] => "equal".to_owned(),
        [first, ..] => format!("diverged at step {}: {}", first.step, first.class),
    };
    let mut facts = vec![
        ("recorded by", header.program.clone()),
        ("protocol", header.protocol.clone()),
        ("engine", header.engine.clone()),
        ("hotkey", header.settings.hotkey.to_ss58()),
        ("replayed", format!("{steps} steps, {actions} actions, {states} states")),
    ];
    if *torn_bytes > 0 {
        facts.push(("unfinished", format!("the last {torn_bytes} bytes, as a crash leaves them")));
    }
    (format!("Tape {name}"), verdict, divergences.is_empty(), facts, divergences.first())
}

/// A line of the table of windows.
struct Row {
    start: u64,
    /// Missing part of the window; empty if it is complete.
    partial: String,
    outcome: String,
    class: &'static str,
    clean: String,
    uploaded: String,
    attempts: usize,
    rejected: usize,
    failed: usize,
    slack: String,
    troubles: usize,
    verdict: String,
}

impl Row {
    fn of(window: &WindowLanes) -> Self {
        let receipt = window.receipt.as_ref();
        let cell = |tell: fn(&WindowReceipt) -> String| receipt.map_or("-".to_owned(), tell);
        let ended = |end| window.groups.iter().filter(|attempt| attempt.end == end).count();
        let is_accepted = window.verdict.as_ref().is_none_or(|verdict| verdict.outcome == "accepted");
        Self {
            start: window.start,
            partial: partial(window),
            outcome: receipt.map_or("no receipt".to_owned(), |receipt| outcome(&receipt.outcome)),
            class: match receipt {
                None => "",
                Some(receipt) if receipt.outcome == WindowOutcome::Uploaded && is_accepted => "good",
                Some(_) => "bad",
            },
            clean: cell(|receipt| receipt.groups_clean.to_string()),
            uploaded: cell(|receipt| receipt.groups_uploaded.to_string()),
            attempts: window.groups.len(),
            rejected: ended(End::Rejected),
            failed: ended(End::Failed),
            slack: cell(|receipt| receipt.slack_ms.map_or("-".to_owned(), |ms| format!("{} s", ms / 1000))),
            troubles: window.troubles.len(),
            verdict: window.verdict.as_ref().map_or("-".to_owned(), |verdict| {
                format!("{}, {} of {} valid", verdict.outcome, verdict.accepted, verdict.checked)
            }),
        }
    }
}

/// Returns the missing part of a window: blocks before the first one that was seen, or its end.
fn partial(window: &WindowLanes) -> String {
    let late = window.heads.first().map_or(0, |(_, block)| block.saturating_sub(window.start));
    let begins = (late > 0).then(|| format!("seen from block +{late}"));
    let ends = window.receipt.is_none().then(|| "its end is not seen".to_owned());
    let parts: Vec<String> = begins.into_iter().chain(ends).collect();
    if parts.is_empty() { String::new() } else { format!("partial: {}", parts.join(", ")) }
}

/// Returns a class in plain words.
const fn explanation(class: Class) -> &'static str {
    match class {
        Class::RecordingGap => {
            "The tape holds an answer to a question that nobody asked on it, or its steps are not numbered without \
             a gap: something happened that was not recorded, and everything after it follows from that."
        }
        Class::NonDeterminism => {
            "This build was run twice over the same events and did two different things. That must never be: some \
             decision rests on something that is not an event."
        }
        Class::ReorderedActions => {
            "This build asks for exactly the recorded actions, in another order. Whether that matters depends on \
             whether one of them must come first, as the journal before the bucket."
        }
        Class::ChangedBehavior => {
            "Up to this event everything was the same. To this event, this build answers with other actions than the \
             one that recorded the tape: a rule, a constant or a piece of code has changed in between."
        }
        Class::ChangedState => {
            "Every action was the same, yet what the machine remembers is not. It will show later, when a decision \
             rests on the part that differs."
        }
        Class::DifferentRounding => {
            "For the same tokens the engine computes slightly other numbers than the one that recorded the tape. \
             They are near enough for a validator."
        }
        Class::DifferentSketches => {
            "For the same tokens the engine computes numbers so different that a validator would reject the proof."
        }
        Class::DifferentTokens => "From the same random streams the engine draws other tokens than were recorded.",
    }
}

fn outcome(outcome: &WindowOutcome) -> String {
    match outcome {
        WindowOutcome::Uploaded => "uploaded".to_owned(),
        WindowOutcome::KeptBack(why) => format!("kept back: {why}"),
        WindowOutcome::NothingReady => "nothing ready".to_owned(),
        WindowOutcome::NotRegistered => "not registered".to_owned(),
        WindowOutcome::Reorganised => "reorganised".to_owned(),
        WindowOutcome::Lost(why) => format!("lost: {why}"),
    }
}

/// A recorded and a replayed action side by side.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    recorded: Option<Side>,
    replayed: Option<Side>,
    differs: bool,
}

/// A text whose middle part the other side lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Side {
    before: String,
    marked: String,
    after: String,
}

impl Pair {
    fn sides(&self) -> [Option<&Side>; 2] {
        [self.recorded.as_ref(), self.replayed.as_ref()]
    }
}

fn pairs(lines: &[Line]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for line in lines {
        match line {
            Line::Both(text) => {
                let side = Some(Side { before: text.clone(), ..Side::default() });
                pairs.push(Pair { recorded: side.clone(), replayed: side, differs: false });
            }
            Line::Recorded(text) => pairs.push(Pair { recorded: Some(marked(text)), replayed: None, differs: true }),
            Line::Replayed(text) => match pairs.iter_mut().find(|pair| pair.differs && pair.replayed.is_none()) {
                Some(pair) => pair.replayed = Some(marked(text)),
                None => pairs.push(Pair { recorded: None, replayed: Some(marked(text)), differs: true }),
            },
        }
    }
    for pair in &mut pairs {
        if let (Some(recorded), Some(replayed), true) = (&mut pair.recorded, &mut pair.replayed, pair.differs) {
            mark_difference(recorded, replayed);
        }
    }
    pairs
}

fn marked(text: &str) -> Side {
    Side { marked: text.to_owned(), ..Side::default() }
}

/// Marks only the differing part.
fn mark_difference(first: &mut Side, second: &mut Side) {
    let [a, b]: [Vec<char>; 2] = [&first.marked, &second.marked].map(|text| text.chars().collect());
    let shorter = a.len().min(b.len());
    let head = (0..shorter).take_while(|&i| a[i] == b[i]).count();
    let tail = (0..shorter - head).take_while(|&i| a[a.len() - 1 - i] == b[b.len() - 1 - i]).count();
    let cut = |text: &[char]| {
        let part = |range: &[char]| range.iter().collect();
        let end = text.len() - tail;
        Side { before: part(&text[..head]), marked: part(&text[head..end]), after: part(&text[end..]) }
    };
    (*first, *second) = (cut(&a), cut(&b));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_which_a_part_was_seen_says_which() {
        let receipt = Some(WindowReceipt::of(30, WindowOutcome::Uploaded));
        let window =
            |first: u64, receipt| WindowLanes { start: 30, heads: vec![(0, first)], receipt, ..WindowLanes::default() };
        assert_eq!(partial(&window(30, receipt.clone())), "");
        assert_eq!(partial(&window(37, receipt)), "partial: seen from block +7");
        assert_eq!(partial(&window(31, None)), "partial: seen from block +1, its end is not seen");
    }

    #[test]
    fn sides_are_paired_and_only_what_differs_is_marked() {
        let lines = [
            Line::Both("same".into()),
            Line::Recorded("upload bytes=10 x".into()),
            Line::Recorded("gone".into()),
            Line::Replayed("upload bytes=129 x".into()),
        ];
        let pairs = pairs(&lines);
        assert_eq!(pairs.len(), 3);
        assert!(!pairs[0].differs && pairs[1].differs && pairs[2].differs);
        let side = |before: &str, marked: &str, after: &str| {
            Some(Side { before: before.into(), marked: marked.into(), after: after.into() })
        };
        assert_eq!(pairs[1].recorded, side("upload bytes=1", "0", " x"));
        assert_eq!(pairs[1].replayed, side("upload bytes=1", "29", " x"));
        assert_eq!((&pairs[2].recorded, &pairs[2].replayed), (&side("", "gone", ""), &None));
    }
}
