//! Two texts or two states field by field.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Longest value that is shown.
const SHOWN_CHARS: usize = 120;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Where it is, as `window.upload.considered`.
    pub path: String,
    /// On the tape; none where it has no such field.
    pub recorded: Option<String>,
    /// In the replay; none where it has no such field.
    pub replayed: Option<String>,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {} -> {}", self.path, shown(&self.recorded), shown(&self.replayed))
    }
}

type Fields = BTreeMap<String, String>;

/// The fields in which two actions differ, from the one line that tells each.
pub fn between_actions(recorded: &str, replayed: &str) -> Vec<FieldChange> {
    changes(&fields_of(recorded), &fields_of(replayed))
}

/// The fields in which two states differ.
pub fn between_states(recorded: &Value, replayed: &Value) -> Vec<FieldChange> {
    let flat = |value: &Value| {
        let mut fields = Fields::new();
        flatten(value, String::new(), &mut fields);
        fields
    };
    changes(&flat(recorded), &flat(replayed))
}

fn changes(recorded: &Fields, replayed: &Fields) -> Vec<FieldChange> {
    let mut paths: Vec<&String> = recorded.keys().chain(replayed.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.retain(|path| recorded.get(*path) != replayed.get(*path));
    let shown = |value: Option<&String>| value.map(|value| value.chars().take(SHOWN_CHARS).collect());
    let change = |path: &String| FieldChange {
        path: path.clone(),
        recorded: shown(recorded.get(path)),
        replayed: shown(replayed.get(path)),
    };
    paths.into_iter().map(change).collect()
}

fn flatten(value: &Value, path: String, fields: &mut Fields) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, member)| flatten(member, below(name), fields));
        }
        // A list of plain values is one field; a difference of bulk is not shown token by token.
        Value::Array(elements) if elements.iter().any(|element| element.is_object() || element.is_array()) => {
            elements.iter().enumerate().for_each(|(i, element)| flatten(element, below(&i.to_string()), fields));
        }
        plain => {
            fields.insert(path, plain.to_string());
        }
    }
}

/// The fields of an action's line: `word Name { field: value } key=value`.
fn fields_of(line: &str) -> Fields {
    let mut fields = Fields::new();
    let mut words = split(line, ' ').into_iter().peekable();
    let mut first = true;
    while let Some(word) = words.next() {
        let braced = words.next_if(|next| next.starts_with('{'));
        let word = braced.map_or_else(|| word.to_owned(), |braces| format!("{word} {braces}"));
        match word.split_once('=').filter(|(key, _)| key.chars().all(|c| c.is_alphanumeric() || c == '_')) {
            Some((key, value)) => parse(value, key, &mut fields),
            None if first => {
                let name: String = word.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                fields.insert("action".to_owned(), name);
                parse(&word, "", &mut fields);
            }
            None => parse(&word, "", &mut fields),
        }
        first = false;
    }
    fields
}

/// A value as `Debug` shows it, below `path`.
fn parse(text: &str, path: &str, fields: &mut Fields) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let text = text.trim();
    let opening =
        text.find(['{', '(']).filter(|at| text[..*at].chars().all(|c| c.is_alphanumeric() || "_ ".contains(c)));
    match opening {
        Some(at) if text.ends_with('}') => {
            for member in split(&text[at + 1..text.len() - 1], ',') {
                if let Some((name, value)) = member.split_once(':') {
                    parse(value, &below(name.trim()), fields);
                }
            }
        }
        Some(at) if text.ends_with(')') => {
            let members = split(&text[at + 1..text.len() - 1], ',');
            let name = below(text[..at].trim());
            match members.as_slice() {
                [one] => parse(one, &name, fields),
                many => many.iter().enumerate().for_each(|(i, member)| parse(member, &format!("{name}.{i}"), fields)),
            }
        }
        _ => {
            fields.insert(if path.is_empty() { "name".to_owned() } else { path.to_owned() }, text.to_owned());
        }
    }
}

/// The pieces between separators that stand outside of brackets and quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut pieces, mut begin, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 => {
                pieces.push(&text[begin..at]);
                begin = at + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(&text[begin..]);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(recorded: &str, replayed: &str) -> Vec<(String, Option<String>, Option<String>)> {
        between_actions(recorded, replayed).into_iter().map(|c| (c.path, c.recorded, c.replayed)).collect()
    }

    fn one(path: &str, recorded: &str, replayed: &str) -> Vec<(String, Option<String>, Option<String>)> {
        vec![(path.to_owned(), Some(recorded.to_owned()), Some(replayed.to_owned()))]
    }

    #[test]
    fn a_field_of_an_action_is_found_by_its_name() {
        let timer = |at: u64| format!("SetTimer {{ timer: UploadDeadline, at_ms: {at} }}");
        assert_eq!(changed(&timer(5), &timer(7)), one("at_ms", "5", "7"));
        let order =
            |index, block| format!("generate GroupId {{ window_start: 30, index: {index} }} block={block} kept=[0, 1]");
        assert_eq!(changed(&order(1, 5), &order(2, 5)), one("index", "1", "2"));
        assert_eq!(changed(&order(1, 5), &order(1, 6)), one("block", "5", "6"));
        let receipt = |text: &str| format!("Report(Receipt(WindowReceipt {{ outcome: Lost({text:?}), groups: 1 }}))");
        let found = changed(&receipt("a, {b"), &receipt("c: d"));
        assert_eq!(found, one("Report.Receipt.outcome.Lost", "\"a, {b\"", "\"c: d\""));
        assert_eq!(changed("ReadBlockHash(30)", "ReadBlockHash(60)"), one("ReadBlockHash", "30", "60"));
        assert_eq!(changed(&timer(5), &timer(5)), []);
    }

    #[test]
    fn a_field_of_a_state_is_found_by_its_path() {
        let state = |n: u64| json!({"window": {"start": 30, "groups": {"clean": {"0": [1, n]}}}, "timers": {}});
        let found = between_states(&state(2), &state(3));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].recorded.as_deref()), ("window.groups.clean.0", Some("[1,2]")));
    }
}
