//! A machine's state as lines for reading and comparing: names in a fixed order, with values.
//!
//! It shows only what is written here, and long values only by number and digest, so it holds no secret. Every struct
//! is taken apart by name, so that a new field is shown or left out on purpose.

use std::fmt::{self, Display};

/// First parts of the lines' names.
pub const SECTIONS: [&str; 9] =
    ["stopping", "account", "recovered", "window", "groups", "upload", "unsettled", "timing", "timers"];

/// A machine's state as lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(Vec<(String, String)>);

/// A line that differs between two views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The line's name.
    pub name: String,
    /// Its value before; none if the line is new.
    pub before: Option<String>,
    /// Its value after; none if the line is gone.
    pub after: Option<String>,
}

impl View {
    /// Returns every line in order: name and value.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of a line.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns the lines that differ, in this view's order; those that are new come last.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let gone_or_changed = self.lines().filter_map(|(name, before)| {
            let now = after.get(name);
            (now != Some(before)).then(|| Change::new(name, Some(before), now))
        });
        let new = after.lines().filter(|(name, _)| self.get(name).is_none());
        gone_or_changed.chain(new.map(|(name, value)| Change::new(name, None, Some(value)))).collect()
    }

    pub(super) fn line(&mut self, name: impl Into<String>, value: impl Display) {
        self.0.push((name.into(), value.to_string()));
    }

    pub(super) fn line_if_some(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }
}

impl Change {
    fn new(name: &str, before: Option<&str>, after: Option<&str>) -> Self {
        Self { name: name.to_owned(), before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        write!(f, "{}: {} -> {}", self.name, shown(&self.before), shown(&self.after))
    }
}

/// Numbers in ascending order as ranges: `0-4, 6`.
pub(super) fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use grail_protocol::signature::Hotkey;

    use super::*;
    use crate::answers::{Head, Now};
    use crate::machine::{Event, Machine, MachineSecrets, MachineSettings};

    fn view(lines: &[(&str, &str)]) -> View {
        View(lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn changes_are_what_one_view_has_and_the_other_has_not() {
        let before = view(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = view(&[("a", "1"), ("c", "4"), ("d", "5")]);
        let changes: Vec<String> = before.changes(&after).iter().map(ToString::to_string).collect();
        assert_eq!(changes, ["b: 2 -> -", "c: 3 -> 4", "d: - -> 5"]);
        assert_eq!(before.changes(&before), []);
    }

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges([].into_iter()), "");
        assert_eq!(ranges([0, 1, 2, 4, 6, 7].into_iter()), "0-2, 4, 6-7");
    }

    #[test]
    fn names_are_distinct_begin_with_a_section_and_show_no_secret() {
        let secrets = MachineSecrets { seed: 123_456_789, read_credentials: b"planted read secret".to_vec() };
        let mut machine = Machine::new(MachineSettings::new(Hotkey::from_bytes([0; 32])), secrets);
        let now = |monotonic_ms| Now { monotonic_ms, wall_ms: 1_700_000_000_000 + monotonic_ms };
        machine.handle(now(0), Event::Started(Vec::new()));
        machine.handle(now(5), Event::HeadMoved(Head { number: 60 }));
        machine.handle(now(9), Event::BlockHashRead { block: 60, result: Ok(Some(format!("0x{}", "ab".repeat(32)))) });
        let view = machine.view();
        let mut names: Vec<&str> = view.lines().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| SECTIONS.contains(&name.split('.').next().unwrap())), "{names:?}");
        assert_eq!((view.get("window.start"), view.get("timing.head")), (Some("60"), Some("60")));
        let shown = format!("{view:?}");
        assert!(!shown.contains("planted") && !shown.contains("123456789"), "{shown}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), view.lines().count());
    }
}
