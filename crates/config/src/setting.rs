//! A value as typed: where, and what else was typed for the same name.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

/// The place where a value was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The process environment.
    Environment,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nowhere.
    Default,
}

/// A value and the place where it was typed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The value, without surrounding whitespace and not empty.
    pub value: SecretString,
    /// The place where it was typed.
    pub origin: Origin,
    /// White space around it that does not look like a space, and was left out as spaces are.
    pub left_out: Option<char>,
}

/// Everything that was typed for one name.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The value that is used.
    pub won: Candidate,
    /// Values that are ignored, strongest first.
    pub lost: Vec<Candidate>,
}

impl Setting {
    pub(super) fn of(mut typed: Vec<Candidate>) -> Self {
        let lost = typed.split_off(1);
        Self { won: typed.remove(0), lost }
    }
}

impl Candidate {
    pub(super) fn new(value: &SecretString, origin: Origin, left_out: Option<char>) -> Option<Self> {
        let whole = value.expose_secret();
        let value = Some(whole.trim()).filter(|value| !value.is_empty())?;
        let (before, after) = whole.split_once(value)?;
        let around = before.chars().chain(after.chars()).find(|c| !c.is_ascii_whitespace());
        Some(Self { value: SecretString::from(value), origin, left_out: left_out.or(around) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
