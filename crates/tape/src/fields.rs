//! Two texts or two states field by field.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::limits::beginning;
use grail_terminal::printable;

/// Longest value that is shown.
const SHOWN_CHARS: usize = 120;
/// Most fields of a state that are compared once they differ; our own state has fewer.
const CHANGES_MAX: usize = 10_000;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Path of the field, such as `window.upload.considered`.
    pub path: String,
    /// On the tape; none if it has no such field.
    pub recorded: Option<String>,
    /// In the replay; none if it has no such field.
    pub replayed: Option<String>,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let (path, recorded, replayed) = (&self.path, shown(&self.recorded), shown(&self.replayed));
        f.write_str(&printable(&format!("{path}: {recorded} -> {replayed}")))
    }
}

/// Returns the fields in which two actions differ, from their lines.
pub fn between_actions(recorded: &str, replayed: &str) -> Vec<FieldChange> {
    between_states(&value_of(recorded), &value_of(replayed))
}

/// Returns the first fields in which two states differ, by path.
pub fn between_states(recorded: &Value, replayed: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare(Some(recorded), Some(replayed), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Adds the fields below `path` that differ; a side without the field is none.
fn compare(recorded: Option<&Value>, replayed: Option<&Value>, path: &str, found: &mut Vec<FieldChange>) {
    if found.len() >= CHANGES_MAX {
        return;
    }
    let sides = [recorded, replayed];
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let members = sides.map(|side| side.and_then(members_of));
    for name in members.iter().flatten().flat_map(|members| members.keys()).collect::<BTreeSet<_>>() {
        let [a, b] = members.map(|members| members?.get(name));
        compare(a, b, &below(name), found);
    }
    let elements = sides.map(|side| side.and_then(elements_of));
    for i in 0..elements.iter().flatten().map(|elements| elements.len()).max().unwrap_or(0) {
        let [a, b] = elements.map(|elements| elements?.get(i));
        compare(a, b, &below(&i.to_string()), found);
        if found.len() >= CHANGES_MAX {
            return;
        }
    }
    let is_field = |value: &&Value| members_of(value).is_none() && elements_of(value).is_none();
    let [recorded, replayed] = sides.map(|side| side.filter(is_field).map(Value::to_string));
    if recorded != replayed {
        let shown = |value: Option<String>| value.map(|value| value.chars().take(SHOWN_CHARS).collect());
        let path = beginning(path).to_owned();
        found.push(FieldChange { path, recorded: shown(recorded), replayed: shown(replayed) });
    }
}

/// Returns an object's fields; an empty object is a field itself.
fn members_of(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|members| !members.is_empty())
}

/// Returns a list's items. A list of plain values is a field itself, so that long lists are not shown item by item.
fn elements_of(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().filter(|elements| elements.iter().any(|element| element.is_object() || element.is_array()))
}

/// Returns an action's line as a value: its fields and its name.
fn value_of(line: &str) -> Value {
    let (name, fields) = line.split_once(' ').unwrap_or((line, "null"));
    let fields: Value = serde_json::from_str(fields).unwrap_or_else(|_| fields.into());
    match fields {
        Value::Object(mut members) => {
            members.insert("action".to_owned(), name.into());
            members.into()
        }
        Value::Null => json!({ "action": name }),
        // A lone value goes by the name of its action.
        other => json!({ "action": name, name: other }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(recorded: &str, replayed: &str) -> Vec<(String, Option<String>, Option<String>)> {
        between_actions(recorded, replayed).into_iter().map(|c| (c.path, c.recorded, c.replayed)).collect()
    }

    fn one(path: &str, recorded: &str, replayed: &str) -> Vec<(String, Option<String>, Option<String>)> {
        vec![(path.to_owned(), Some(recorded.to_owned()), Some(replayed.to_owned()))]
    }

    #[test]
    fn a_field_of_an_action_is_found_by_its_name() {
        let timer = |at: u64| format!(r#"SetTimer {{"at_ms":{at},"timer":"UploadDeadline"}}"#);
        assert_eq!(changed(&timer(5), &timer(7)), one("at_ms", "5", "7"));
        let order = |index, block| format!(r#"Generate {{"block":{block},"group":{{"index":{index}}},"kept":[0,1]}}"#);
        assert_eq!(changed(&order(1, 5), &order(2, 5)), one("group.index", "1", "2"));
        assert_eq!(changed(&order(1, 5), &order(1, 6)), one("block", "5", "6"));
        let receipt = |text: &str| format!(r#"Report {{"Receipt":{{"outcome":"lost","why":{text:?},"groups":1}}}}"#);
        assert_eq!(changed(&receipt("a, {b"), &receipt("c: d")), one("Receipt.why", "\"a, {b\"", "\"c: d\""));
        assert_eq!(changed("ReadBlockHash 30", "ReadBlockHash 60"), one("ReadBlockHash", "30", "60"));
        assert_eq!(changed("Exit", "ReconnectChain"), one("action", "\"Exit\"", "\"ReconnectChain\""));
        // A line of a damaged tape is compared as text.
        assert_eq!(changed("Upload {", "Upload {}").len(), 1);
        assert_eq!(changed(&timer(5), &timer(5)), []);
    }

    #[test]
    fn a_field_of_a_state_is_found_by_its_path() {
        let state = |n: u64| json!({"window": {"start": 30, "groups": {"clean": {"0": [1, n]}}}, "timers": {}});
        let found = between_states(&state(2), &state(3));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].recorded.as_deref()), ("window.groups.clean.0", Some("[1,2]")));
    }

    #[test]
    fn a_state_of_another_shape_is_compared_by_its_fields() {
        let found = between_states(&json!({"a": {"b": 1, "c": []}, "d": [[1], 2]}), &json!({"a": 7, "d": [[1]]}));
        let changes: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(changes, ["a: nothing -> 7", "a.b: 1 -> nothing", "a.c: [] -> nothing", "d.1: 2 -> nothing"]);
        assert_eq!(between_states(&json!([[], {}, null]), &json!([[], {}, null])), []);
        // As many as differ first.
        let many = vec![json!([1]); 3 * CHANGES_MAX];
        assert_eq!(between_states(&many.into(), &json!({})).len(), CHANGES_MAX);
    }
}
