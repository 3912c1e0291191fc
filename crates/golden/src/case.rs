//! A vector file and its cases: typed reading of inputs, exact comparison of outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};

use grail_protocol::python_json::{self, Value};

use super::GoldenError;
use super::report::{FileReport, MISSES_KEPT, Miss};

/// Most characters of a value that a miss shows.
const SHOWN_CHARS: usize = 120;

/// A vector file, read.
///
/// Vectors are read with the protocol's own JSON reader: `serde_json` without its global `float_roundtrip` misses the last
/// bits of some floats. Both readers are compared over every file in `crates/golden/tests/it/vectors.rs`.
pub(super) struct VectorFile {
    path: PathBuf,
    name: String,
    fixtures: PathBuf,
    content: BTreeMap<String, Value>,
}

/// One case: inputs are read from it, outputs compared with it.
///
/// A field that was neither read nor compared makes the file malformed.
pub(super) struct Case<'a> {
    file: &'a VectorFile,
    label: String,
    fields: &'a BTreeMap<String, Value>,
    used: BTreeSet<&'a str>,
    misses: Vec<Miss>,
}

impl VectorFile {
    pub(super) fn read(path: &Path, fixtures: &Path) -> Result<Self, GoldenError> {
        let bytes = std::fs::read(path).map_err(|source| GoldenError::Read { path: path.to_owned(), source })?;
        let malformed = |what: String| GoldenError::Malformed { path: path.to_owned(), what };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match python_json::parse(&bytes).map_err(|error| malformed(error.to_string()))? {
            Value::Object(content) => Ok(Self { path: path.to_owned(), name, fixtures: fixtures.to_owned(), content }),
            other => Err(malformed(format!("{} where an object must stand", other.type_name()))),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the folder of the fixtures, for tokenizers and models.
    pub(super) fn fixtures(&self) -> &Path {
        &self.fixtures
    }

    /// Returns what the file says it is; empty if it says nothing.
    pub(super) fn what(&self) -> &str {
        self.content.get("what").and_then(Value::as_text).unwrap_or_default()
    }

    /// Returns a field of the file itself.
    pub(super) fn field(&self, name: &str) -> Result<&Value, GoldenError> {
        self.content.get(name).ok_or_else(|| self.malformed(format!("no field {name:?}")))
    }

    pub(super) fn malformed(&self, what: String) -> GoldenError {
        GoldenError::Malformed { path: self.path.clone(), what }
    }

    /// Runs `check` over every entry of `cases`.
    pub(super) fn each_case<'a>(
        &'a self,
        mut check: impl FnMut(&mut Case<'a>) -> Result<(), GoldenError>,
    ) -> Result<FileReport, GoldenError> {
        let cases = self.field("cases")?.as_list().filter(|cases| !cases.is_empty());
        let cases = cases.ok_or_else(|| self.malformed("`cases` holds no case".into()))?;
        let mut report = FileReport { name: self.name.clone(), ..FileReport::default() };
        for (number, case) in cases.iter().enumerate() {
            let Value::Object(fields) = case else {
                return Err(self.malformed(format!("case {number} is not an object")));
            };
            let label = match fields.get("name").and_then(Value::as_text) {
                Some(name) => format!("{number} ({name})"),
                None => number.to_string(),
            };
            self.run(&mut report, label, fields, &mut check)?;
        }
        Ok(report)
    }

    /// Runs `check` over the file as its only case.
    pub(super) fn single_case<'a>(
        &'a self,
        mut check: impl FnMut(&mut Case<'a>) -> Result<(), GoldenError>,
    ) -> Result<FileReport, GoldenError> {
        let mut report = FileReport { name: self.name.clone(), ..FileReport::default() };
        self.run(&mut report, "0".into(), &self.content, &mut check)?;
        Ok(report)
    }

    fn run<'a>(
        &'a self,
        report: &mut FileReport,
        label: String,
        fields: &'a BTreeMap<String, Value>,
        check: &mut impl FnMut(&mut Case<'a>) -> Result<(), GoldenError>,
    ) -> Result<(), GoldenError> {
        let mut case = Case { file: self, label, fields, used: BTreeSet::new(), misses: Vec::new() };
        check(&mut case)?;
        if let Some(unused) = fields.keys().find(|key| !case.used.contains(key.as_str())) {
            return Err(self.malformed(format!("case {}: nothing compares the field {unused:?}", case.label)));
        }
        report.total += 1;
        report.passed += usize::from(case.misses.is_empty());
        report.misses.extend(case.misses);
        report.misses.truncate(MISSES_KEPT);
        Ok(())
    }
}

impl<'a> Case<'a> {
    /// Returns the field unchanged.
    pub(super) fn value(&mut self, field: &'static str) -> Result<&'a Value, GoldenError> {
        self.used.insert(field);
        self.fields.get(field).ok_or_else(|| self.unreadable(field, "is missing"))
    }

    /// Fields that describe the case only.
    pub(super) fn skip(&mut self, fields: &[&'static str]) {
        self.used.extend(fields);
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, GoldenError> {
        self.value(field)?.as_text().ok_or_else(|| self.unreadable(field, "is not a string"))
    }

    pub(super) fn float(&mut self, field: &'static str) -> Result<f64, GoldenError> {
        self.value(field)?.as_number().ok_or_else(|| self.unreadable(field, "is not a number"))
    }

    pub(super) fn int<T: TryFrom<i128>>(&mut self, field: &'static str) -> Result<T, GoldenError> {
        let value = self.value(field)?;
        self.int_of(field, value)
    }

    pub(super) fn list(&mut self, field: &'static str) -> Result<&'a [Value], GoldenError> {
        self.value(field)?.as_list().ok_or_else(|| self.unreadable(field, "is not a list"))
    }

    pub(super) fn ints<T: TryFrom<i128>>(&mut self, field: &'static str) -> Result<Vec<T>, GoldenError> {
        self.list(field)?.iter().map(|item| self.int_of(field, item)).collect()
    }

    pub(super) fn floats(&mut self, field: &'static str) -> Result<Vec<f64>, GoldenError> {
        let items = self.list(field)?;
        let number =
            |item: &Value| item.as_number().ok_or_else(|| self.unreadable(field, "holds what is not a number"));
        items.iter().map(number).collect()
    }

    pub(super) fn texts(&mut self, field: &'static str) -> Result<Vec<&'a str>, GoldenError> {
        let items = self.list(field)?.iter().map(Value::as_text);
        items.collect::<Option<_>>().ok_or_else(|| self.unreadable(field, "holds what is not a string"))
    }

    /// Returns bytes written in hex.
    pub(super) fn bytes(&mut self, field: &'static str) -> Result<Vec<u8>, GoldenError> {
        let text = self.text(field)?;
        hex::decode(text).map_err(|_| self.unreadable(field, "is no hex"))
    }

    /// Returns a list of byte strings written in hex.
    pub(super) fn byte_strings(&mut self, field: &'static str) -> Result<Vec<Vec<u8>>, GoldenError> {
        let items = self.list(field)?;
        let bytes = |item: &Value| item.as_text().and_then(|text| hex::decode(text).ok());
        items.iter().map(bytes).collect::<Option<_>>().ok_or_else(|| self.unreadable(field, "holds what is no hex"))
    }

    /// Compares an output, bit for bit.
    pub(super) fn compare(&mut self, field: &'static str, got: impl Into<Value>) -> Result<(), GoldenError> {
        let expected = self.value(field)?;
        self.compare_values(field, expected, &got.into());
        Ok(())
    }

    /// Compares an output that only some cases record; the others hold null.
    pub(super) fn compare_if_recorded(
        &mut self,
        field: &'static str,
        got: impl Into<Value>,
    ) -> Result<(), GoldenError> {
        if !matches!(self.value(field)?, Value::Null) {
            self.compare(field, got)?;
        }
        Ok(())
    }

    /// Compares two values, wherever they come from, bit for bit.
    pub(super) fn compare_values(&mut self, field: &str, expected: &Value, got: &Value) {
        if let Some((path, expected, got)) = difference(expected, got) {
            self.miss(format!("{field}{path}"), expected, got);
        }
    }

    /// Compares an object bit for bit except for the numbers named, which are compared within a tolerance: absolute
    /// below 1 and relative above it. The caller says why bits cannot match.
    pub(super) fn compare_except(
        &mut self,
        field: &'static str,
        got: Value,
        close: &[&str],
        tolerance: f64,
    ) -> Result<(), GoldenError> {
        let (Value::Object(mut expected), Value::Object(mut got)) = (self.value(field)?.clone(), got) else {
            return Err(self.unreadable(field, "is not an object"));
        };
        for name in close {
            let number = |entries: &mut BTreeMap<String, Value>| entries.remove(*name)?.as_number();
            match (number(&mut expected), number(&mut got)) {
                (Some(a), Some(b)) if (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0) => {}
                (Some(a), Some(b)) => self.miss(format!("{field}.{name}"), a.to_string(), b.to_string()),
                _ => return Err(self.unreadable(field, "lacks a number")),
            }
        }
        self.compare_values(field, &Value::Object(expected), &Value::Object(got));
        Ok(())
    }

    /// Compares a list of numbers within a relative tolerance; the caller says why bits cannot match.
    pub(super) fn compare_all_close(
        &mut self,
        field: &'static str,
        got: &[f64],
        tolerance: f64,
    ) -> Result<(), GoldenError> {
        let expected = self.floats(field)?;
        if expected.len() != got.len() {
            self.compare(field, list(got.iter().copied()))?;
        }
        for (i, (expected, got)) in expected.into_iter().zip(got).enumerate() {
            self.compare_close(&format!("{field}[{i}]"), expected, *got, tolerance);
        }
        Ok(())
    }

    /// Compares two numbers within a relative tolerance; the caller says why bits cannot match.
    pub(super) fn compare_close(&mut self, field: &str, expected: f64, got: f64, tolerance: f64) {
        let distance = (expected - got).abs();
        let close = distance <= tolerance * expected.abs().max(got.abs());
        if !close {
            self.miss(field.to_owned(), expected.to_string(), got.to_string());
        }
    }

    pub(super) fn unreadable(&self, field: &str, what: &str) -> GoldenError {
        self.file.malformed(format!("case {}: the field {field:?} {what}", self.label))
    }

    fn int_of<T: TryFrom<i128>>(&self, field: &str, value: &Value) -> Result<T, GoldenError> {
        match value {
            Value::Int(i) => T::try_from(*i).map_err(|_| self.unreadable(field, "is out of range")),
            _ => Err(self.unreadable(field, "is not an integer")),
        }
    }

    fn miss(&mut self, field: String, expected: String, got: String) {
        self.misses.push(Miss { case: self.label.clone(), field, expected, got });
    }
}

/// Returns a list of anything that a value can be made from.
pub(super) fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(Into::into).collect())
}

/// Returns an object with these entries.
pub(super) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Returns the value of a call that should succeed; its error as text, which no vector holds, if it does not.
pub(super) fn outcome<T: Into<Value>, E: Display>(result: Result<T, E>) -> Value {
    result.map_or_else(|error| Value::Text(format!("error: {error}")), Into::into)
}

/// Returns the first place where two values differ in type or bits: its path, and both values there as text.
fn difference(expected: &Value, got: &Value) -> Option<(String, String, String)> {
    let under = |prefix: String, (path, a, b): (String, String, String)| (prefix + &path, a, b);
    let here = || Some((String::new(), shown(expected), shown(got)));
    match (expected, got) {
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(a, b).map(|d| under(format!("[{i}]"), d)))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().zip(b.values()).find_map(|((key, a), b)| difference(a, b).map(|d| under(format!(".{key}"), d)))
        }
        (Value::Float(a), Value::Float(b)) if a.to_bits() == b.to_bits() => None,
        (Value::Float(_), Value::Float(_))
        | (Value::List(_), Value::List(_))
        | (Value::Object(_), Value::Object(_)) => here(),
        (Value::Text(a), Value::Text(b)) if a != b => {
            let start = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
            let rest = |text: &str| shown(&text.chars().skip(start).collect::<String>().into());
            Some((format!(" from character {start}"), rest(a), rest(b)))
        }
        _ if std::mem::discriminant(expected) == std::mem::discriminant(got) && expected == got => None,
        _ => here(),
    }
}

fn shown(value: &Value) -> String {
    let text = value.canonical_text();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}
