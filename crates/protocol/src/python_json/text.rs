//! Writing values as Python does: canonical JSON, and `str`.

use std::fmt::Write;

use super::{Value, surrogate};

impl Value {
    /// `json.dumps(x, sort_keys=True, separators=(",", ":"))`, with ASCII escapes.
    pub fn canonical_text(&self) -> String {
        let mut out = String::new();
        write_json(&mut out, self);
        out
    }

    /// `str(x)`: the value's text in an f-string.
    pub fn python_str(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Text(text) => out.push_str(text),
            other => write_repr(&mut out, other),
        }
        out
    }
}

fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Float(f) => write_float(out, *f, "NaN", "Infinity"),
        Value::Text(text) => write_json_string(out, text),
        Value::List(items) => write_joined(out, ('[', ']'), ",", items, write_json),
        Value::Object(entries) => write_joined(out, ('{', '}'), ",", entries, |out, (key, item)| {
            write_json_string(out, key);
            out.push(':');
            write_json(out, item);
        }),
        Value::Int(_) | Value::BigInt(_) => write_repr(out, value),
    }
}

fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Int(i) => out.push_str(itoa::Buffer::new().format(*i)),
        Value::BigInt(digits) => out.push_str(digits),
        Value::Float(f) => write_float(out, *f, "nan", "inf"),
        Value::Text(text) => write_repr_string(out, text),
        Value::List(items) => write_joined(out, ('[', ']'), ", ", items, write_repr),
        Value::Object(entries) => write_joined(out, ('{', '}'), ", ", entries, |out, (key, item)| {
            write_repr_string(out, key);
            out.push_str(": ");
            write_repr(out, item);
        }),
    }
}

fn write_joined<T>(
    out: &mut String,
    (open, close): (char, char),
    joint: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push_str(joint);
        }
        write(out, item);
    }
    out.push(close);
}

fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            other if surrogate::is_stand_in(other) => push_surrogate(out, other),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    push(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// `repr` of a string; characters that Python would escape as unprintable beyond ASCII stay as they are.
fn write_repr_string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => push(out, format_args!("\\{c}")),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => push(out, format_args!("\\x{:02x}", c as u32)),
            c if surrogate::is_stand_in(c) => push_surrogate(out, c),
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn push_surrogate(out: &mut String, stand_in: char) {
    push(out, format_args!("\\u{:04x}", surrogate::of(stand_in).unwrap_or_default()));
}

/// Writes a float as `repr` does: the shortest digits that read back, of two equally near the even one, with an exponent
/// below 1e-4 and from 1e16 on.
fn write_float(out: &mut String, f: f64, nan: &str, infinity: &str) {
    if f.is_nan() {
        return out.push_str(nan);
    }
    if f.is_sign_negative() {
        out.push('-');
    }
    if f.is_infinite() {
        return out.push_str(infinity);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(f.abs());
    if let Some((mantissa, exponent)) = text.split_once('e') {
        let (sign, digits) = exponent.split_at(1);
        push(out, format_args!("{mantissa}e{sign}{digits:0>2}"));
    } else if let Some(digits) = text.strip_prefix("0.0000") {
        let (first, rest) = digits.split_at(1);
        push(out, format_args!("{first}{}{rest}e-05", if rest.is_empty() { "" } else { "." }));
    } else {
        out.push_str(text);
    }
}

fn push(out: &mut String, what: impl std::fmt::Display) {
    write!(out, "{what}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python_json::parse;

    /// Each right side is what CPython 3.11 printed for `repr(x)`.
    #[test]
    fn floats_are_written_as_python_writes_them() {
        let table = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (0.00012345, "0.00012345"),
            (1e-5, "1e-05"),
            (0.000012345, "1.2345e-05"),
            (-0.00009999999999999999, "-9.999999999999999e-05"),
            (-1.5e-7, "-1.5e-07"),
            (123456789.123, "123456789.123"),
            (1e15, "1000000000000000.0"),
            (9007199254740993.0, "9007199254740992.0"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            // Exactly halfway between the two shortest texts: the one with the even digit.
            (4838341829771053.0 / 4.0, "1209585457442763.2"),
            (-546726232662321.0 / 16.0, "-34170389541395.062"),
            (4838341829771055.0 / 4.0, "1209585457442763.8"),
            (6755399441055751.0 / 4.0, "1688849860263937.8"),
        ];
        for (float, text) in table {
            assert_eq!(Value::Float(float).python_str(), text);
            assert_eq!(Value::Float(float).canonical_text(), text);
        }
    }

    #[test]
    fn floats_that_are_no_number_have_two_names() {
        for (float, text, json) in
            [(f64::NAN, "nan", "NaN"), (f64::INFINITY, "inf", "Infinity"), (f64::NEG_INFINITY, "-inf", "-Infinity")]
        {
            assert_eq!(Value::Float(float).python_str(), text);
            assert_eq!(Value::Float(float).canonical_text(), json);
        }
    }

    /// Each right side is what CPython 3.11 printed for `str(json.loads(x))`.
    #[test]
    fn values_print_as_python_prints_them() {
        let table = [
            ("[]", "[]"),
            ("[true, false, null]", "[True, False, None]"),
            ("[1, -2, 3.0, 1e16]", "[1, -2, 3.0, 1e+16]"),
            (r#"["a", "it's", "say \"hi\"", "'\""]"#, r#"['a', "it's", 'say "hi"', '\'"']"#),
            (r#"["\n\t\\\u0001\u007f\u00e9"]"#, r"['\n\t\\\x01\x7fé']"),
            (r#"{"a": [1, {"b": null}]}"#, "{'a': [1, {'b': None}]}"),
            (r#""text""#, "text"),
            ("null", "None"),
            ("340282366920938463463374607431768211456", "340282366920938463463374607431768211456"),
        ];
        for (json, text) in table {
            assert_eq!(parse(json.as_bytes()).unwrap().python_str(), text);
        }
    }

    #[test]
    fn canonical_text_is_ascii_with_sorted_keys() {
        let value = parse("{\"é\": \"≤😀\", \"b\": [1, 2.5], \"a\": {}, \"\u{7f}\": \"/\"}".as_bytes()).unwrap();
        let expected = r#"{"a":{},"b":[1,2.5],"\u007f":"/","\u00e9":"\u2264\ud83d\ude00"}"#;
        assert_eq!(value.canonical_text(), expected);
    }
}
