//! A core's state as lines for reading and comparing: names section by section, with values.
//!
//! The lines come from the serialized state, so a core needs no code for display and no field is forgotten. Of a long
//! field, such as a group's rollouts, only the number of entries is shown, and the entries are not serialized.

use std::fmt::{self, Display};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// First parts of the names of a miner's lines, in the order in which they are shown.
pub(super) const SECTIONS: [&str; 11] = [
    "stopping",
    "account",
    "window",
    "groups",
    "upload",
    "recovered",
    "settlement",
    "heads",
    "passed",
    "timers",
    "timing",
];

/// Fields of which only the number of entries and their keys are shown; of a hotkey nothing.
const LONG: [&str; 6] = ["bytes", "clean", "hotkey", "journaling", "kept", "recovered.groups"];

/// Fields that are shown by another name than the one in the state: a shorter one, or one spelled as everywhere else.
const RENAMED: [(&str, &str); 4] = [
    ("mining", ""),
    ("window.groups", "groups"),
    ("window.upload", "upload"),
    ("groups.journalling", "groups.journaling"),
];

/// A state as lines.
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
    /// Returns a serializable state as lines.
    ///
    /// # Panics
    /// If the state's own serialization fails.
    pub fn of(state: &impl Serialize) -> Self {
        let mut lines = Vec::new();
        state.serialize(Part { name: String::new(), lines: &mut lines }).expect("a state is plain data");
        lines.sort_by_key(|(name, _)| SECTIONS.iter().position(|section| name.split('.').next() == Some(*section)));
        Self(lines)
    }

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

/// Writes one value as the line of this name, or its fields as lines of their own.
struct Part<'a> {
    name: String,
    lines: &'a mut Vec<(String, String)>,
}

impl Part<'_> {
    fn line(self, value: impl Display) -> fmt::Result {
        self.lines.push((self.name, value.to_string()));
        Ok(())
    }

    fn is_long(&self) -> bool {
        LONG.iter().any(|long| self.name == *long || self.name.ends_with(&format!(".{long}")))
    }

    fn field(&mut self, field: &str, value: &(impl Serialize + ?Sized)) -> fmt::Result {
        let name = if self.name.is_empty() { field.to_owned() } else { format!("{}.{field}", self.name) };
        let shown = RENAMED.iter().find(|(field, _)| *field == name).map(|(_, shown)| (*shown).to_owned());
        value.serialize(Part { name: shown.unwrap_or(name), lines: self.lines })
    }
}

/// Returns a value in one line.
fn inline(value: &(impl Serialize + ?Sized)) -> Result<String, fmt::Error> {
    let mut lines = Vec::new();
    value.serialize(Part { name: String::new(), lines: &mut lines })?;
    let shown =
        lines.iter().map(|(name, value)| if name.is_empty() { value.clone() } else { format!("{name} {value}") });
    Ok(shown.collect::<Vec<_>>().join(", "))
}

/// Numbers in ascending order as ranges: `0-4, 6`.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
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

/// Writes the entries of a list or map: their number, and each as one line unless they are long.
struct Entries<'a> {
    part: Part<'a>,
    entries: Vec<(String, String)>,
    keys: Vec<String>,
    /// Of the entry whose value comes next.
    key: String,
}

impl Entries<'_> {
    fn entry(&mut self, key: String, value: &(impl Serialize + ?Sized)) -> fmt::Result {
        if !self.part.is_long() {
            self.entries.push((format!("{}.{key}", self.part.name), inline(value)?));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Adds the lines of every entry, after their number where that can differ.
    fn finish(self, is_counted: bool) -> fmt::Result {
        let Self { part: Part { name, lines }, keys, entries, .. } = self;
        lines.extend(is_counted.then(|| (name, keys.len().to_string())));
        lines.extend(entries);
        Ok(())
    }
}

/// Values that are a line as they are.
macro_rules! plain {
    ($($method:ident: $kind:ty),*) => {
        $(fn $method(self, value: $kind) -> fmt::Result {
            self.line(value)
        })*
    };
}

impl<'a> Serializer for Part<'a> {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Entries<'a>;
    type SerializeTuple = Entries<'a>;
    type SerializeTupleStruct = Entries<'a>;
    type SerializeTupleVariant = Entries<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str
    }

    fn serialize_bytes(self, bytes: &[u8]) -> fmt::Result {
        self.line(format_args!("{} bytes", bytes.len()))
    }

    fn serialize_none(self) -> fmt::Result {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> fmt::Result {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> fmt::Result {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> fmt::Result {
        self.line(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> fmt::Result {
        let inner = inline(value)?;
        self.line(format_args!("{variant}: {inner}"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Entries<'a>, fmt::Error> {
        Ok(Entries { part: self, entries: Vec::new(), keys: Vec::new(), key: String::new() })
    }

    fn serialize_tuple(self, length: usize) -> Result<Entries<'a>, fmt::Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Entries<'a>, fmt::Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Entries<'a>, fmt::Error> {
        self.lines.push((self.name.clone(), variant.to_owned()));
        self.serialize_seq(Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Entries<'a>, fmt::Error> {
        self.serialize_seq(length)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.lines.push((self.name.clone(), variant.to_owned()));
        Ok(self)
    }
}

/// Entries of lists and tuples are named by their place; only lists differ in length.
macro_rules! list {
    ($($list:ident: $method:ident, $is_counted:literal);*) => {
        $(impl $list for Entries<'_> {
            type Ok = ();
            type Error = fmt::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
                self.entry(self.keys.len().to_string(), value)
            }

            fn end(self) -> fmt::Result {
                self.finish($is_counted)
            }
        })*
    };
}

list! {
    SerializeSeq: serialize_element, true;
    SerializeTuple: serialize_element, false;
    SerializeTupleStruct: serialize_field, false;
    SerializeTupleVariant: serialize_field, false
}

impl SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> fmt::Result {
        self.key = inline(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        let key = std::mem::take(&mut self.key);
        self.entry(key, value)
    }

    fn end(mut self) -> fmt::Result {
        if self.part.is_long() && !self.keys.is_empty() {
            let keys = ranges(self.keys.iter().filter_map(|key| key.parse().ok()));
            self.entries.push((format!("{}.keys", self.part.name), keys));
        }
        self.finish(true)
    }
}

/// Fields of a struct are lines of their own.
macro_rules! fields {
    ($($fields:ident),*) => {
        $(impl $fields for Part<'_> {
            type Ok = ();
            type Error = fmt::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> fmt::Result {
                self.field(field, value)
            }

            fn end(self) -> fmt::Result {
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct, SerializeStructVariant }

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use grail_miner::machine::{Event, Machine, MachineSecrets, MachineSettings};
    use grail_miner::ports::{Head, Now};
    use grail_protocol::signature::Hotkey;

    use super::*;

    fn view(lines: &[(&str, &str)]) -> View {
        View(lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn shown(state: &impl Serialize) -> Vec<String> {
        View::of(state).lines().map(|(name, value)| format!("{name} = {value}")).collect()
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

    #[derive(serde::Serialize)]
    enum Stage {
        Idle,
        Pausing(Box<Stage>),
        Reading { missing: u32, bytes: Vec<u8> },
        Between(u32, u32),
    }

    #[derive(serde::Serialize)]
    struct Upload {
        stages: Vec<Stage>,
        now: Stage,
        next: Stage,
        known: Option<&'static str>,
        unknown: Option<u32>,
    }

    #[test]
    fn fields_are_lines_by_path_and_entries_one_line_each() {
        let now = Stage::Reading { missing: 2, bytes: vec![1; 70] };
        let stages = vec![Stage::Pausing(Box::new(Stage::Idle)), Stage::Reading { missing: 1, bytes: Vec::new() }];
        let upload = Upload { stages, now, next: Stage::Between(3, 4), known: Some("aa"), unknown: None };
        let expected = [
            "stages = 2",
            "stages.0 = Pausing: Idle",
            "stages.1 = Reading, missing 1, bytes 0",
            "now = Reading",
            "now.missing = 2",
            "now.bytes = 70",
            "next = Between",
            "next.0 = 3",
            "next.1 = 4",
            "known = aa",
        ];
        assert_eq!(shown(&upload), expected);
    }

    /// A value that must not be read.
    struct Unseen;

    impl Serialize for Unseen {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it was read"))
        }
    }

    #[derive(serde::Serialize)]
    struct Groups {
        clean: BTreeMap<u32, Unseen>,
        waiting: BTreeMap<u32, u32>,
    }

    #[derive(serde::Serialize)]
    struct Window {
        groups: Groups,
    }

    #[derive(serde::Serialize)]
    struct Mining {
        window: Window,
    }

    #[derive(serde::Serialize)]
    struct State {
        mining: Mining,
    }

    #[test]
    fn long_entries_are_counted_and_not_read() {
        let clean = BTreeMap::from([(0, Unseen), (1, Unseen), (4, Unseen)]);
        let groups = Groups { clean, waiting: BTreeMap::from([(7, 1)]) };
        let lines = ["groups.clean = 3", "groups.clean.keys = 0-1, 4", "groups.waiting = 1", "groups.waiting.7 = 1"];
        assert_eq!(shown(&State { mining: Mining { window: Window { groups } } }), lines);
    }

    #[test]
    fn names_are_distinct_begin_with_a_section_and_show_no_secret() {
        let secrets = MachineSecrets { seed: 123_456_789, read_credentials: b"planted read secret".to_vec() };
        let mut machine = Machine::new(MachineSettings::new(Hotkey::from_bytes([0; 32])), secrets);
        let now = |monotonic_ms| Now { monotonic_ms, wall_ms: 1_700_000_000_000 + monotonic_ms };
        machine.handle(now(0), Event::Started(Vec::new()));
        machine.handle(now(5), Event::HeadMoved(Head { number: 60 }));
        machine.handle(now(9), Event::BlockHashRead { block: 60, result: Ok(Some(format!("0x{}", "ab".repeat(32)))) });
        let view = View::of(machine.state());
        let mut names: Vec<&str> = view.lines().map(|(name, _)| name).collect();
        let mut sections: Vec<&str> = names.iter().map(|name| name.split('.').next().unwrap()).collect();
        sections.dedup();
        assert!(sections.iter().all(|section| SECTIONS.contains(section)), "{sections:?}");
        assert_eq!((view.get("window.start"), view.get("timing.head.0")), (Some("60"), Some("number 60")));
        let shown = format!("{view:?}");
        assert!(!shown.contains("planted") && !shown.contains("123456789"), "{shown}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), view.lines().count());
    }
}
