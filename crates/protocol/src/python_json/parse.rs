//! Reading JSON by the rules of Python's `json.loads`.

use std::collections::BTreeMap;

use super::{Value, surrogate};
use crate::budget::{ALLOCATION_BYTES, ENTRY_FACTOR, NODE_ENTRIES};

/// Most memory that the values of one document may take, text by text and value by value; 40 million numbers do.
pub const VALUE_BYTES_MAX: usize = 1280 << 20;
const _: () = assert!(VALUE_BYTES_MAX == (40 << 20) * size_of::<Value>());

/// Deepest nesting read; Python itself gives up near a thousand levels.
const DEPTH_MAX: usize = 512;
/// Most digits of an integer; Python refuses longer ones.
const DIGITS_MAX: usize = 4300;
/// Integers of at most this many digits fit 64 bits, which are faster to read than longer ones.
const SHORT_DIGITS_MAX: usize = 18;
/// A list that is longer leaves the stack of open lists, so that no more than this is copied when it ends.
const STACKED_ITEMS_MAX: usize = 16 << 10;
/// A map's entry.
const ENTRY_BYTES: usize = size_of::<String>() + size_of::<Value>();

const STAND_IN: &str = "one of the last 2048 characters of private use, which stand for lone surrogates here";

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON at byte {offset}: {what}")]
pub struct JsonError {
    /// Offset at which reading stopped, in bytes.
    pub offset: usize,
    /// The problem there.
    pub what: &'static str,
}

/// Reads one JSON document.
///
/// # Errors
/// [`JsonError`] names the byte and the reason; nesting beyond 512 levels, integers beyond 4,300 digits, characters
/// that stand for lone surrogates here (the last 2,048 of private use) and values that take more than [`VALUE_BYTES_MAX`] are refused.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_within(VALUE_BYTES_MAX, bytes)
}

fn parse_within(limit: usize, bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError { offset: error.valid_up_to(), what: "not UTF-8 text; write the file as UTF-8" })?;
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, items: Vec::new(), left: limit };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < bytes.len() {
        return Err(reader.error("something follows the document"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Items of the lists that are open, so that each list is allocated once and in its size.
    items: Vec<Value>,
    /// Bytes of memory that values may still take.
    left: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth > DEPTH_MAX {
            return Err(self.error("nested more than 512 levels deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'0'..=b'9') => self.number(),
            Some(b'-') if !self.looking_at("-Infinity") => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut entries = BTreeMap::new();
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key in double quotes must be here"));
            }
            let key = self.string()?;
            let room = if entries.is_empty() { NODE_ENTRIES } else { ENTRY_FACTOR };
            self.spend(room * ENTRY_BYTES)?;
            self.skip_space();
            self.expect(b':', "a colon must follow the key")?;
            self.skip_space();
            entries.insert(key, self.value(depth + 1)?);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(entries));
            }
            self.expect(b',', "a comma or a closing brace must be here")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        let first = self.items.len();
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::List(Vec::new()));
        }
        self.spend(ALLOCATION_BYTES)?;
        let mut begun = Vec::new();
        loop {
            self.short_integers(first);
            self.skip_space();
            let item = self.value(depth + 1)?;
            self.spend(size_of::<Value>())?;
            self.items.push(item);
            if self.items.len() - first >= STACKED_ITEMS_MAX {
                begun.extend(self.items.drain(first..));
            }
            self.skip_space();
            if self.take(b']') {
                let items = self.items.drain(first..);
                if begun.is_empty() {
                    return Ok(Value::List(items.collect()));
                }
                begun.extend(items);
                begun.shrink_to_fit();
                return Ok(Value::List(begun));
            }
            self.expect(b',', "a comma or a closing bracket must be here")?;
        }
    }

    /// Takes the items of a list as long as each is a short integer that a comma follows at once: most of a window
    /// file. The list started at item `first`; it is left to its caller once it is long or the memory is used up.
    fn short_integers(&mut self, first: usize) {
        let begin = self.items.len();
        let end = (begin + self.left / size_of::<Value>()).min(first + STACKED_ITEMS_MAX - 1);
        while self.items.len() < end && self.short_integer() {}
        self.left -= (self.items.len() - begin) * size_of::<Value>();
    }

    fn short_integer(&mut self) -> bool {
        let (mut value, mut at) = (0, self.at);
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(at) {
            if at - self.at == SHORT_DIGITS_MAX {
                return false;
            }
            value = 10 * value + i64::from(digit - b'0');
            at += 1;
        }
        let has_leading_zero = at - self.at > 1 && self.bytes[self.at] == b'0';
        if at == self.at || has_leading_zero || self.bytes.get(at) != Some(&b',') {
            return false;
        }
        self.items.push(Value::Int(i128::from(value)));
        self.at = at + 1;
        true
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.take(b'-');
        let digits_start = self.at;
        if !self.take(b'0') {
            self.digits();
        }
        if self.at == digits_start {
            return Err(self.error("a digit must follow the minus sign"));
        }
        let integer_end = self.at;
        let mut is_float = false;
        if self.peek() == Some(b'.') && self.digit_at(self.at + 1) {
            is_float = true;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(self.bytes.get(self.at + 1), Some(b'+' | b'-')));
            if self.digit_at(self.at + 1 + signed) {
                is_float = true;
                self.at += 1 + signed;
                self.digits();
            }
        }
        let text = &self.text[start..self.at];
        if is_float {
            return Ok(Value::Float(text.parse().map_err(|_| self.error("not a number"))?));
        }
        if integer_end - digits_start <= SHORT_DIGITS_MAX {
            let digits = &self.bytes[digits_start..integer_end];
            let magnitude = digits.iter().fold(0, |sum, digit| 10 * sum + i64::from(digit - b'0'));
            return Ok(Value::Int(i128::from(if digits_start > start { -magnitude } else { magnitude })));
        }
        if integer_end - digits_start > DIGITS_MAX {
            return Err(self.error("an integer of more than 4300 digits"));
        }
        if let Ok(value) = text.parse() {
            return Ok(Value::Int(value));
        }
        let digits = text.into();
        self.spend(self.at - start + ALLOCATION_BYTES)?;
        Ok(Value::BigInt(digits))
    }

    fn word(&mut self) -> Result<Value, JsonError> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.looking_at(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error(if self.at < self.bytes.len() { "a value must be here" } else { "the text ends too early" }))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let mut out = String::new();
        self.at += 1;
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            let run = &self.text[start..self.at];
            if run.contains(surrogate::is_stand_in) {
                return Err(self.error(STAND_IN));
            }
            out.push_str(run);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.spend(if out.is_empty() { 0 } else { out.len() + ALLOCATION_BYTES })?;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error("a control character in a string; escape it")),
                None => return Err(self.error("the string is not closed")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let kind = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        Ok(match kind {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error("an unknown escape")),
        })
    }

    /// Returns the character of an escape, or of two that are a pair of surrogates. Python keeps a surrogate that has
    /// no partner.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let unit = self.four_hex_digits()?;
        let Some(surrogate) = surrogate::stand_in(unit) else {
            return char::from_u32(unit).ok_or_else(|| self.error("not a character"));
        };
        let after_unit = self.at;
        if unit < 0xdc00 && self.looking_at("\\u") {
            self.at += 2;
            let low = self.four_hex_digits()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                let pair = char::from_u32(code).filter(|pair| surrogate::of(*pair).is_none());
                return pair.ok_or_else(|| self.error(STAND_IN));
            }
            self.at = after_unit;
        }
        Ok(surrogate)
    }

    fn four_hex_digits(&mut self) -> Result<u32, JsonError> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u32::from_str_radix(d, 16).ok());
        let code = code.ok_or_else(|| self.error("four hex digits must follow \\u"))?;
        self.at += 4;
        Ok(code)
    }

    fn digits(&mut self) {
        while self.digit_at(self.at) {
            self.at += 1;
        }
    }

    fn digit_at(&self, at: usize) -> bool {
        self.bytes.get(at).is_some_and(u8::is_ascii_digit)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn looking_at(&self, word: &str) -> bool {
        self.bytes[self.at..].starts_with(word.as_bytes())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.error(what)) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), JsonError> {
        const WHAT: &str = "the values up to here take more than 1280 MiB of memory";
        self.left = self.left.checked_sub(bytes).ok_or_else(|| self.error(WHAT))?;
        Ok(())
    }

    fn error(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at.min(self.bytes.len()), what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the smallest limit under which this is read.
    fn cost(json: &str) -> usize {
        let (mut refused, mut enough) = (0, VALUE_BYTES_MAX);
        while enough - refused > 1 {
            let middle = (refused + enough) / 2;
            if parse_within(middle, json.as_bytes()).is_ok() { enough = middle } else { refused = middle }
        }
        enough
    }

    #[test]
    fn every_value_reduces_the_budget() {
        let (value, more) = (size_of::<Value>(), ALLOCATION_BYTES);
        for count in [10, STACKED_ITEMS_MAX - 1, STACKED_ITEMS_MAX, STACKED_ITEMS_MAX + 1, 100_000] {
            let list = |item: &str| format!("[{}{item}]", format!("{item},").repeat(count - 1));
            assert_eq!(cost(&list("0")), more + count * value, "{count}");
            assert_eq!(cost(&list("[]")), more + count * value, "{count}");
            assert_eq!(cost(&list("\"a\"")), more + count * (value + 1 + more), "{count}");
            assert_eq!(cost(&list("[1]")), more + count * (value + more + value), "{count}");
            assert_eq!(cost(&list("{\"\":0}")), more + count * (value + NODE_ENTRIES * ENTRY_BYTES), "{count}");
            let long = "7".repeat(100);
            assert_eq!(cost(&list(&long)), more + count * (value + 100 + more), "{count}");
        }
    }

    #[test]
    fn long_lists_are_read_like_short_ones() {
        let numbers = |count: usize| (0..count).map(|i| Value::Int(i as i128)).collect::<Vec<_>>();
        for count in [STACKED_ITEMS_MAX - 1, STACKED_ITEMS_MAX, STACKED_ITEMS_MAX + 1, 3 * STACKED_ITEMS_MAX + 7] {
            let inner = Value::List(numbers(count));
            let expected = Value::List(vec![Value::Null, inner.clone(), Value::List(vec![inner]), Value::Bool(true)]);
            assert_eq!(parse(expected.canonical_text().as_bytes()).unwrap(), expected, "{count}");
        }
    }
}
