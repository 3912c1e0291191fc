//! Conditions on which time travel stops: `kind=group_failed`, `window=3000030 & groups.clean>3`, `text~timeout |
//! differs`.

use std::cell::OnceCell;
use std::fmt;
use std::str::FromStr;

use grail_miner::machine::Machine;
use grail_tape::Step;

use super::view::{SECTIONS, View};

/// Fields of a step, in addition to the machine's state, with descriptions.
pub(super) const FIELDS: [(&str, &str); 10] = [
    ("step", "number of the step, from 0"),
    ("ms", "monotonic milliseconds"),
    ("kind", "kind of the event, as group_ready, or a closer one, as upload_done"),
    ("window", "first block of the window that the event names, or of the one being mined"),
    ("group", "index of the group that the event is about"),
    ("attempt", "number of the attempt at that group, from 0"),
    ("action", "text of an action, recorded or replayed"),
    ("text", "text of the event"),
    ("failure", "whether the event tells of something that went wrong"),
    ("differs", "whether recorded and replayed actions differ"),
];

/// A condition on a step and on the state after it.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Both hold.
    And(Box<Condition>, Box<Condition>),
    /// At least one of them holds.
    Or(Box<Condition>, Box<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A value that is named is in this relation to another.
    Compare {
        /// A field, or a line of the state.
        name: String,
        /// The relation.
        operator: Operator,
        /// The value to compare with.
        value: String,
    },
}

/// A relation between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operator {
    Equal,
    Different,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

/// Why a condition is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Another text is expected here.
    #[error("at character {at}: expected {wanted}; for example kind=group_failed & groups.clean>3")]
    Syntax {
        /// Number of the character, from 1.
        at: usize,
        /// The expected text.
        wanted: &'static str,
    },
    /// The name is neither a field nor a line of the state.
    #[error("{name:?} is unknown; use {}, or a line of the state pane", FIELDS.map(|(name, _)| name).join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
}

/// The step on which a condition is evaluated.
pub(super) struct Moment<'a> {
    pub(super) number: usize,
    pub(super) step: &'a Step,
    pub(super) replayed: &'a [String],
    /// After the step.
    pub(super) machine: &'a Machine,
    /// The machine's state, read when a condition first asks for it.
    pub(super) view: OnceCell<View>,
}

impl Moment<'_> {
    /// Returns every value of that name; none if the step or the state has none.
    fn values(&self, name: &str) -> Vec<String> {
        let event = &self.step.event;
        let one = |value: String| vec![value];
        match name {
            "step" => one(self.number.to_string()),
            "ms" => one(self.step.monotonic_ms.to_string()),
            "kind" => [Some(event.kind()), event.closer_kind()].into_iter().flatten().map(str::to_owned).collect(),
            "window" => match event.window_start() {
                Some(start) => one(start.to_string()),
                None => self.state("window.start"),
            },
            "group" => event.group().map(|group| group.index.to_string()).into_iter().collect(),
            "attempt" => event.group().map(|group| group.attempt.to_string()).into_iter().collect(),
            "action" => self.step.actions.iter().chain(self.replayed).cloned().collect(),
            "text" => one(event.summary()),
            "failure" => one(event.is_failure().to_string()),
            "differs" => one((self.step.actions != self.replayed).to_string()),
            _ => self.state(name),
        }
    }

    fn state(&self, name: &str) -> Vec<String> {
        let view = self.view.get_or_init(|| View::of(self.machine.state()));
        view.get(name).map(str::to_owned).into_iter().collect()
    }
}

impl Condition {
    /// Returns whether it holds at this moment.
    pub(super) fn holds(&self, moment: &Moment<'_>) -> bool {
        match self {
            Self::And(first, second) => first.holds(moment) && second.holds(moment),
            Self::Or(first, second) => first.holds(moment) || second.holds(moment),
            Self::Not(inner) => !inner.holds(moment),
            Self::Compare { name, operator, value } => {
                let values = moment.values(name);
                match operator {
                    // A missing value differs from nothing.
                    Operator::Different => !values.is_empty() && !values.iter().any(|known| known == value),
                    operator => values.iter().any(|known| operator.relates(known, value)),
                }
            }
        }
    }
}

impl Operator {
    const ALL: [(&'static str, Self); 8] = [
        ("==", Self::Equal),
        ("!=", Self::Different),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::More),
        ("~", Self::Contains),
    ];

    fn relates(self, known: &str, value: &str) -> bool {
        let numbers = number(known).zip(number(value));
        match self {
            Self::Equal => known == value,
            Self::Different => known != value,
            Self::Contains => known.contains(value),
            Self::Less => numbers.is_some_and(|(known, value)| known < value),
            Self::AtMost => numbers.is_some_and(|(known, value)| known <= value),
            Self::More => numbers.is_some_and(|(known, value)| known > value),
            Self::AtLeast => numbers.is_some_and(|(known, value)| known >= value),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let mut parser = Parser { text, at: 0 };
        let condition = parser.either()?;
        if parser.rest().is_empty() { Ok(condition) } else { Err(parser.wants("`&`, `|` or the end")) }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(first, second) => write!(f, "({first} & {second})"),
            Self::Or(first, second) => write!(f, "({first} | {second})"),
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::Compare { name, operator, value } => {
                let sign = Operator::ALL.iter().rfind(|(_, known)| known == operator).map_or("", |(sign, _)| sign);
                let quote = if value.chars().all(is_word) && !value.is_empty() { "" } else { "\"" };
                write!(f, "{name}{sign}{quote}{value}{quote}")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn either(&mut self) -> Result<Condition, ConditionError> {
        let mut condition = self.both()?;
        while self.takes("|") {
            condition = Condition::Or(Box::new(condition), Box::new(self.both()?));
        }
        Ok(condition)
    }

    fn both(&mut self) -> Result<Condition, ConditionError> {
        let mut condition = self.single()?;
        while self.takes("&") {
            condition = Condition::And(Box::new(condition), Box::new(self.single()?));
        }
        Ok(condition)
    }

    fn single(&mut self) -> Result<Condition, ConditionError> {
        if self.takes("!") {
            return Ok(Condition::Not(Box::new(self.single()?)));
        }
        if self.takes("(") {
            let condition = self.either()?;
            return if self.takes(")") { Ok(condition) } else { Err(self.wants("`)`")) };
        }
        self.comparison()
    }

    /// `name`, which means `name=true`, or a name, an operator and a value.
    fn comparison(&mut self) -> Result<Condition, ConditionError> {
        let name = self.word().ok_or_else(|| self.wants("a name"))?.to_owned();
        let section = name.split('.').next().unwrap_or_default();
        if !FIELDS.iter().any(|(field, _)| *field == name) && !SECTIONS.contains(&section) {
            return Err(ConditionError::Unknown { name });
        }
        let Some((_, operator)) = Operator::ALL.into_iter().find(|(sign, _)| self.takes(sign)) else {
            return Ok(Condition::Compare { name, operator: Operator::Equal, value: "true".to_owned() });
        };
        let value = self.value()?.to_owned();
        Ok(Condition::Compare { name, operator, value })
    }

    fn value(&mut self) -> Result<&'a str, ConditionError> {
        if self.takes("\"") {
            let text = &self.text[self.at..];
            let Some((quoted, _)) = text.split_once('"') else { return Err(self.wants("a closing quote")) };
            self.at += quoted.len() + 1;
            return Ok(quoted);
        }
        self.word().ok_or_else(|| self.wants("a value"))
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end]).filter(|word| !word.is_empty())
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// Returns what follows, after blanks.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn wants(&mut self, wanted: &'static str) -> ConditionError {
        self.rest();
        ConditionError::Syntax { at: self.text[..self.at].chars().count() + 1, wanted }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.-/:".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_miner::machine::{Event, MachineSecrets, MachineSettings};
    use grail_protocol::signature::Hotkey;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<Condition, ConditionError> {
        text.parse()
    }

    /// Returns whether it holds at a step at which group 3 failed for the second time.
    fn holds(text: &str) -> bool {
        let group = grail_miner::machine::GroupId { window_start: 60, generation: 0, index: 3, attempt: 1 };
        let event = Event::GroupFailed { group, why: "a timeout, or so".to_owned() };
        let step =
            Step { number: 17, monotonic_ms: 1_500, wall_ms: 0, event, actions: vec!["ReadBlockHash(60)".to_owned()] };
        let machine = Machine::new(
            MachineSettings::new(Hotkey::from_bytes([0; 32])),
            MachineSecrets { seed: 0, read_credentials: Vec::new() },
        );
        let replayed = vec!["Report".to_owned()];
        let view = OnceCell::new();
        parsed(text).unwrap().holds(&Moment { number: 17, step: &step, replayed: &replayed, machine: &machine, view })
    }

    #[test]
    fn fields_are_compared_as_text_or_as_numbers() {
        for holding in [
            "kind=group_failed",
            "kind != group_ready",
            "step=17",
            "step>9",
            "step<=17",
            "ms>=1500 & ms<1501",
            "window=60",
            "group=3 & attempt=1",
            "text~timeout",
            "text ~ \"timeout, or\"",
            "action~ReadBlock",
            "action~Report",
            "differs",
            "failure",
            "!(failure & step=16)",
            "stopping=false",
            "account.commitment=Unknown",
            "timing.block.value_ms>=12000",
            "step=1 | step=17",
            "step=1 & step=2 | step=17",
        ] {
            assert!(holds(holding), "{holding}");
        }
        for failing in [
            "kind=group",
            "step>17",
            "window=90",
            "differs=false",
            "!failure",
            "step=17 & (kind=shutdown | group=4)",
            "window.start>0",
            "window.start!=5",
            "kind<5",
        ] {
            assert!(!holds(failing), "{failing}");
        }
    }

    #[test]
    fn an_append_and_a_timer_have_a_closer_kind() {
        let entry = grail_miner::machine::JournalEntry::UploadDone(60);
        let event = Event::JournalAnswered { entry, result: Ok(()) };
        assert_eq!((event.kind(), event.closer_kind()), ("journal_answered", Some("upload_done")));
    }

    #[test]
    fn a_condition_that_cannot_be_parsed_is_reported_with_its_position() {
        let error = |text| parsed(text).unwrap_err().to_string();
        assert!(error("").starts_with("at character 1: expected a name"), "{}", error(""));
        assert!(error("kind=").starts_with("at character 6: expected a value"), "{}", error("kind="));
        assert!(error("(step=1").starts_with("at character 8: expected `)`"));
        assert!(error("step=1 step=2").starts_with("at character 8: expected `&`, `|` or the end"));
        assert!(error("text=\"open").contains("a closing quote"));
        assert!(error("grups.clean>3").starts_with("\"grups.clean\" is unknown; use step, ms, kind"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_its_form_reads_back(text in "[a-z=&|!()<>~\" .0-9é]{0,40}") {
            if let Ok(condition) = parsed(&text) {
                prop_assert_eq!(parsed(&condition.to_string()), Ok(condition));
            }
        }

        #[test]
        fn shown_conditions_read_back(names in proptest::collection::vec(0usize..10, 1..6), signs in any::<u64>()) {
            let sign = |i: usize| Operator::ALL[(signs >> (3 * i)) as usize % 8].0;
            let terms = names.iter().enumerate().map(|(i, name)| format!("{}{}\"v {i}\"", FIELDS[*name].0, sign(i)));
            let text = terms.collect::<Vec<_>>().join(if signs % 2 == 0 { " & " } else { " | !" });
            let condition = parsed(&text).unwrap();
            prop_assert_eq!(parsed(&condition.to_string()), Ok(condition));
        }
    }
}
