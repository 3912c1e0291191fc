//! JSON as Python's `json` module reads and writes it: big integers, `NaN`, ASCII escapes, shortest float text.
//!
//! A validator hashes the text that Python would write, and decides by Python's rules of equality and truth, so foreign
//! values are kept as Python would have them.

mod parse;
mod surrogate;
mod text;

pub use parse::{JsonError, VALUE_BYTES_MAX, parse};

use std::collections::BTreeMap;

/// A JSON value with Python's distinctions.
#[derive(Debug, Clone)]
pub enum Value {
    /// `None`.
    Null,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 128 bits.
    Int(i128),
    /// A longer integer: its decimal digits without leading zeros, with `-` where negative.
    BigInt(Box<str>),
    /// A float; JSON from Python may hold NaN and infinities.
    Float(f64),
    /// A string; each surrogate without a partner is one of the last 2,048 characters of private use.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A dictionary; a repeated key keeps its last value.
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// Returns the value of `key` if this is a dictionary that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Object(entries) => entries.get(key),
            _ => None,
        }
    }

    /// Returns the text, if this is a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the items, if this is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the number as Python compares it with an integer: integers, booleans, and floats of integral value.
    pub fn as_integral(&self) -> Option<i128> {
        match self {
            Self::Int(i) => Some(*i),
            Self::Bool(b) => Some(i128::from(*b)),
            Self::Float(f) if f.trunc() == *f && f.abs() < 1.7e38 => Some(*f as i128),
            _ => None,
        }
    }

    /// `float(x)` of a number; `None` for anything that is not a number, and for integers too large for a float.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::BigInt(digits) => digits.parse().ok().filter(|f: &f64| f.is_finite()),
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// `int(x)`: numbers are cut toward zero, text is read as a decimal integer.
    ///
    /// `None` where Python raises, and for magnitudes beyond 128 bits.
    pub fn python_int(&self) -> Option<i128> {
        match self {
            Self::Int(i) => Some(*i),
            Self::Bool(b) => Some(i128::from(*b)),
            Self::Float(f) if f.abs() < 1e38 => Some(f.trunc() as i128),
            Self::Text(text) => int_of_text(text),
            _ => None,
        }
    }

    /// `x & 0xFFFFFFFF` of an integer or boolean, as it enters a hash.
    pub fn low_32_bits(&self) -> Option<u32> {
        match self {
            Self::Int(i) => Some(*i as u32),
            Self::Bool(b) => Some(u32::from(*b)),
            Self::BigInt(digits) => {
                let magnitude = digits
                    .bytes()
                    .filter(u8::is_ascii_digit)
                    .fold(0u32, |low, digit| low.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
                Some(if digits.starts_with('-') { magnitude.wrapping_neg() } else { magnitude })
            }
            _ => None,
        }
    }

    /// Returns whether Python's `isinstance(x, int)` holds; booleans are integers.
    pub fn is_int(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Bool(_) | Self::BigInt(_))
    }

    /// Python's truth: empty, zero and `None` are false.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::BigInt(_) => true,
            Self::Float(f) => *f != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Object(entries) => !entries.is_empty(),
        }
    }

    /// Python's name of the type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::BigInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Python's `==`: numbers compare by value whatever their type, `True == 1`, NaN equals nothing.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::BigInt(a), Self::BigInt(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::BigInt(digits), Self::Float(f)) | (Self::Float(f), Self::BigInt(digits)) => {
                f.is_finite() && format!("{f:.0}") == **digits
            }
            (a, b) => matches!((a.as_integral(), b.as_integral()), (Some(a), Some(b)) if a == b),
        }
    }
}

/// `int("…")`: white space around, a sign, digits with single underscores between.
fn int_of_text(text: &str) -> Option<i128> {
    let trimmed = text.trim_matches(crate::hexadecimal::is_python_space);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let well_formed = digits.split('_').all(|run| !run.is_empty() && run.bytes().all(|b| b.is_ascii_digit()));
    if well_formed { trimmed.replace('_', "").parse().ok() } else { None }
}

macro_rules! value_from {
    ($($type:ty => $variant:expr),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                $variant(value)
            }
        })*
    };
}

value_from! {
    bool => Value::Bool,
    f64 => Value::Float,
    String => Value::Text,
    Vec<Value> => Value::List,
    u32 => |i| Value::Int(i128::from(i)),
    i32 => |i| Value::Int(i128::from(i)),
    u64 => |i| Value::Int(i128::from(i)),
    usize => |i| Value::Int(i as i128),
    &str => |text: &str| Value::Text(text.to_owned()),
}
