//! One line of an examination.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use grail_terminal::printable;
use serde::{Serialize, Serializer};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// No problem.
    Ok,
    /// Mining works, with less than it could have.
    Warning,
    /// Must be fixed.
    Failure,
    /// Not examined, because something that it needs is missing.
    Skipped,
}

impl CheckStatus {
    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A problem that only the operator can fix. It decides the exit code of `grail mine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The hotkey has no uid on the subnet.
    NoUid,
    /// Every endpoint serves another network.
    OtherNetwork,
    /// A wallet, a key or its permissions.
    Credentials,
    /// The configuration, the model, the device, the data folder, or a store that lacks what mining needs.
    Configuration,
}

/// Why mining must not start yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// Waiting cannot fix it.
    Obstacle(Obstacle),
    /// It is temporary: nobody needs to fix anything here.
    Passing,
}

/// A fix that needs no person, since it only removes rights or creates an empty folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Sets the permissions of a file or folder.
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Creates a folder that only its owner may read.
    Folder(PathBuf),
}

impl Fix {
    /// Carries it out.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn carry_out(&self) -> io::Result<()> {
        match self {
            Self::Mode { path, mode } => fs::set_permissions(path, Permissions::from_mode(*mode)),
            Self::Folder(path) => DirBuilder::new().recursive(true).mode(0o700).create(path),
        }
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode { path, mode } => write!(f, "chmod {mode:o} {}", path.display()),
            Self::Folder(path) => write!(f, "mkdir -m 700 {}", path.display()),
        }
    }
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which stays the same from release to release.
    pub code: &'static str,
    /// How it ended.
    pub status: CheckStatus,
    /// The measured value; for a skipped check, the check that it needs.
    pub value: String,
    /// The remedy, if any.
    pub remedy: Option<String>,
    /// Why mining must not start, if this check prevents it. JSON only says whether it is an obstacle.
    #[serde(rename = "obstacle", serialize_with = "is_obstacle")]
    pub hindrance: Option<Hindrance>,
    /// The fix that `grail doctor --fix` applies.
    #[serde(skip)]
    pub fix: Option<Fix>,
}

fn is_obstacle<S: Serializer>(hindrance: &Option<Hindrance>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(matches!(hindrance, Some(Hindrance::Obstacle(_))))
}

impl Check {
    pub(super) fn ok(code: &'static str, value: impl Into<String>) -> Self {
        Self::new(code, CheckStatus::Ok, value.into(), None)
    }

    pub(super) fn warning(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(code, CheckStatus::Warning, value.into(), Some(remedy.into()))
    }

    /// Returns the obstacle, if this check found one.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self.hindrance {
            Some(Hindrance::Obstacle(obstacle)) => Some(obstacle),
            Some(Hindrance::Passing) | None => None,
        }
    }

    /// Returns something that may heal while the miner waits.
    pub(super) fn failure(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(code, CheckStatus::Failure, value.into(), Some(remedy.into()))
    }

    /// Creates a temporary problem that keeps mining from starting, or one that no fit witness confirmed.
    pub(super) fn passing(code: &'static str, value: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { hindrance: Some(Hindrance::Passing), ..Self::failure(code, value, remedy) }
    }

    /// Creates an obstacle that a fit witness confirmed: docs/exit-codes.md lists each.
    pub(super) fn blocked(
        code: &'static str,
        obstacle: Obstacle,
        value: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { hindrance: Some(Hindrance::Obstacle(obstacle)), ..Self::failure(code, value, remedy) }
    }

    /// Creates a failure worded by an error that names its remedy after `separator`.
    pub(super) fn blocked_by(code: &'static str, obstacle: Obstacle, text: &str, separator: &str) -> Self {
        let (value, remedy) = text.rsplit_once(separator).unwrap_or((text, "see above"));
        Self::blocked(code, obstacle, value, remedy)
    }

    /// Returns the check, as a temporary problem instead of an obstacle if `passes`.
    pub(super) fn passing_if(self, passes: bool) -> Self {
        Self { hindrance: if passes { Some(Hindrance::Passing) } else { self.hindrance }, ..self }
    }

    /// Returns the check with this fix.
    pub(super) fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }

    /// Not examined, since the check `needed` did not end well.
    pub(super) fn skipped(code: &'static str, needed: &str) -> Self {
        Self::new(code, CheckStatus::Skipped, format!("needs {needed}"), None)
    }

    fn new(code: &'static str, status: CheckStatus, value: String, remedy: Option<String>) -> Self {
        Self {
            code,
            status,
            value: printable(&value),
            remedy: remedy.map(|text| printable(&text)),
            hindrance: None,
            fix: None,
        }
    }
}

impl From<Hindrance> for grail_terminal::Exit {
    fn from(hindrance: Hindrance) -> Self {
        match hindrance {
            Hindrance::Passing => Self::Retry,
            Hindrance::Obstacle(Obstacle::NoUid) => Self::NotRegistered,
            Hindrance::Obstacle(Obstacle::OtherNetwork) => Self::Protocol,
            Hindrance::Obstacle(Obstacle::Credentials) => Self::Credentials,
            Hindrance::Obstacle(Obstacle::Configuration) => Self::Configuration,
        }
    }
}
