//! One line of an examination.

use grail_terminal::printable;
use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it must be.
    Ok,
    /// Mining goes on, with less than it could have.
    Warning,
    /// Must be mended.
    Failure,
    /// Not examined, since something that it needs is not there.
    Skipped,
}

impl Status {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which stays the same from release to release.
    pub code: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was measured; for a skipped one, what it needs.
    pub value: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
    /// Whether mining must not start before it is mended, because no waiting heals it.
    #[serde(rename = "obstacle")]
    pub is_obstacle: bool,
    /// Whether mining cannot start now, and can once time has passed: nobody needs to mend anything here.
    #[serde(skip)]
    pub is_passing: bool,
}

impl Check {
    pub(super) fn ok(code: &'static str, value: impl Into<String>) -> Self {
        Self::new(code, Status::Ok, value.into(), None)
    }

    pub(super) fn warning(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(code, Status::Warning, value.into(), Some(remedy.into()))
    }

    /// Something that may heal while the miner waits.
    pub(super) fn failure(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(code, Status::Failure, value.into(), Some(remedy.into()))
    }

    /// Something that keeps mining from starting and passes by itself, or that no witness known to be fit has said.
    pub(super) fn passing(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { is_passing: true, ..Self::failure(code, value, remedy) }
    }

    /// Something that only the operator can mend, as a witness says that is known to be fit: docs/exit-codes.md lists each.
    pub(super) fn obstacle(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { is_obstacle: true, ..Self::failure(code, value, remedy) }
    }

    /// A failure worded by an error that names its remedy after `separator`.
    pub(super) fn obstacle_told(code: &'static str, text: &str, separator: &str) -> Self {
        let (value, remedy) = text.rsplit_once(separator).unwrap_or((text, "see above"));
        Self::obstacle(code, value, remedy)
    }

    /// The same, and passing instead of an obstacle if `passes`.
    pub(super) fn passing_if(self, passes: bool) -> Self {
        Self { is_obstacle: self.is_obstacle && !passes, is_passing: passes, ..self }
    }

    /// Not examined, since the check `needed` did not end well.
    pub(super) fn skipped(code: &'static str, needed: &str) -> Self {
        Self::new(code, Status::Skipped, format!("needs {needed}"), None)
    }

    fn new(code: &'static str, status: Status, value: String, remedy: Option<String>) -> Self {
        Self {
            code,
            status,
            value: printable(&value),
            remedy: remedy.map(|text| printable(&text)),
            is_obstacle: false,
            is_passing: false,
        }
    }
}
