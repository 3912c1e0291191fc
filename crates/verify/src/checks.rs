//! The checks of one rollout, in the validator's order, and those of a group.

pub mod distribution;
pub(crate) mod group;
pub(crate) mod problem;
pub(crate) mod prompt;
pub(crate) mod proof;
pub(crate) mod rollout;
pub(crate) mod solution;
pub(crate) mod termination;
pub(crate) mod tokens;

use grail_protocol::python_json::Value;

use crate::verdict::{Check, Reason};

/// Why the checks of one rollout ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A hard failure: it zeroes the window.
    Failed(Check, Reason),
    /// The reference throws here and continues with the next rollout.
    Skipped(&'static str),
}

/// `commit.get("rollout", {})`: what the miner claims about its completion. It is the object, or none if the field is
/// missing; every look-up in a value without fields throws.
pub(crate) struct Claims<'a>(Result<Option<&'a Value>, Throws>);

impl<'a> Claims<'a> {
    /// Returns the claims of a commit.
    pub(crate) fn of(commit: &'a Value) -> Self {
        match commit.get("rollout") {
            claims @ (None | Some(Value::Object(_))) => Self(Ok(claims)),
            Some(_) => Self(Err(Throws)),
        }
    }

    /// `rollout.get(key)`; the error means that the look-up throws.
    pub(crate) fn get(&self, key: &str) -> Result<Option<&'a Value>, Throws> {
        self.0.map(|object| object.and_then(|object| object.get(key)))
    }

    /// `int(rollout.get(key, 0) or 0)`.
    pub(crate) fn length(&self, key: &str) -> Result<i128, Throws> {
        match self.get(key)? {
            Some(value) if value.is_truthy() => value.python_int().ok_or(Throws),
            _ => Ok(0),
        }
    }
}

/// Python would throw here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throws;
