//! Notices about a configuration that can be used.

use std::fmt;

use secrecy::ExposeSecret;

use super::charset::invisible_in;
use super::dotenv::{Bare, EnvFile};
use super::keys::{DEAD, OF_THE_PROCESS, OUR_PREFIXES, PASSWORD_PREFIX, key};
use super::setting::{Origin, Setting};
use super::suggestion::suggestion;

/// A notice for the operator; mining continues.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Notice {
    /// A name that looks like ours and is not known.
    Unknown {
        /// The name.
        name: String,
        /// The place where it was typed.
        origin: Origin,
        /// The name that may have been meant.
        suggestion: Option<&'static str>,
    },
    /// A name without effect here.
    Dead {
        /// The name.
        name: String,
        /// The place where it was typed.
        origin: Origin,
        /// Why it has no effect.
        why: &'static str,
    },
    /// White space other than spaces was around a value.
    LeftOut {
        /// The name.
        name: String,
        /// The place where it was typed.
        origin: Origin,
        /// The white space.
        character: char,
    },
    /// A name in the file that no `=` follows.
    NoValue {
        /// The name, where it is one of ours: anything else may be a part of a secret.
        name: String,
        /// The place where it was typed.
        origin: Origin,
    },
    /// Another value was typed for the same name.
    Overruled {
        /// The name.
        name: String,
        /// Origin of the value that is used.
        won: Origin,
        /// Origin of the value that is ignored.
        lost: Origin,
    },
    /// A value that is allowed and probably not intended.
    Doubtful {
        /// The name.
        name: &'static str,
        /// The doubt, and the remedy.
        what: String,
    },
}

impl Notice {
    /// Returns the notices that follow from the name and its sources alone.
    pub(super) fn about(name: &str, setting: &Setting) -> Vec<Self> {
        let (name, origin) = (name.to_owned(), setting.won.origin.clone());
        if key(&name).is_none() && !name.starts_with(PASSWORD_PREFIX) {
            let dead = DEAD.iter().find(|(prefix, _)| name.starts_with(prefix));
            return vec![match dead {
                Some((_, why)) => Self::Dead { name, origin, why },
                None => Self::Unknown { suggestion: suggestion(&name), name, origin },
            }];
        }
        let left_out = setting.won.left_out;
        let left_out =
            left_out.map(|character| Self::LeftOut { name: name.clone(), origin: origin.clone(), character });
        let won = setting.won.value.expose_secret();
        let others = setting.lost.iter().filter(|lost| lost.value.expose_secret() != won);
        let overruled = |lost: Origin| Self::Overruled { name: name.clone(), won: origin.clone(), lost };
        left_out.into_iter().chain(others.map(|lost| overruled(lost.origin.clone()))).collect()
    }

    /// Returns notices about names in a file that are no settings: those without a value, and those that libraries read
    /// in the process's environment, to which the file adds nothing.
    pub(super) fn about_file(file: &EnvFile) -> Vec<Self> {
        let at = |line: usize| Origin::File { path: file.path.clone(), line };
        let bare = file.bare.iter().map(|Bare { line, name }| {
            let name = if is_ours(name, &Origin::Environment) { name.as_str() } else { "a name" };
            Self::NoValue { name: name.to_owned(), origin: at(*line) }
        });
        let set = file.entries.iter().filter(|entry| !entry.value.expose_secret().trim().is_empty());
        let of_the_process = set.filter(|entry| OF_THE_PROCESS.contains(&entry.name.to_uppercase().as_str()));
        let of_the_process = of_the_process.map(|entry| {
            let why = "it is read in the environment of the process alone; set it there, for example with export";
            Self::Dead { name: entry.name.clone(), origin: at(entry.line), why }
        });
        bare.chain(of_the_process).collect()
    }

    /// Returns a stable word for its kind.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns the name that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. }
            | Self::Dead { name, .. }
            | Self::LeftOut { name, .. }
            | Self::NoValue { name, .. }
            | Self::Overruled { name, .. } => name,
            Self::Doubtful { name, .. } => name,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Anyone who sets a variable chooses its name.
        let name = self.name().escape_debug();
        match self {
            Self::Unknown { origin, suggestion, .. } => {
                let odd = invisible_in(self.name()).map(|odd| format!(" and holds {odd}")).unwrap_or_default();
                write!(f, "{name} ({origin}) is not known{odd}: ")?;
                match suggestion {
                    Some(meant) => write!(f, "did you mean {meant}?"),
                    None => f.write_str("take it out, or see .env.example for the names"),
                }
            }
            Self::Dead { origin, why, .. } => write!(f, "{name} ({origin}) has no effect: {why}"),
            Self::LeftOut { origin, character, .. } => {
                let code = u32::from(*character);
                write!(
                    f,
                    "{name} ({origin}) has U+{code:04X} before or behind its value, which was left out: delete it"
                )
            }
            Self::NoValue { origin, .. } => {
                write!(f, "{name} ({origin}) has no `=` and sets nothing: write NAME=value, or delete the line")
            }
            Self::Overruled { won, lost, .. } => {
                write!(f, "{name} has another value at {lost}, and the one from {won} holds: take one of them out")?;
                let is_surprising = matches!((won, lost), (Origin::Environment, Origin::File { .. }));
                if is_surprising { f.write_str(", or set GRAIL_ENV_OVERRIDE=1 to let the file win") } else { Ok(()) }
            }
            Self::Doubtful { what, .. } => write!(f, "{name} {what}"),
        }
    }
}

/// Returns whether a name is ours: known, with one of our prefixes, or in our file and close to a known one.
pub(super) fn is_ours(name: &str, origin: &Origin) -> bool {
    let upper = name.to_uppercase();
    let has_prefix = OUR_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    let is_in_file = matches!(origin, Origin::File { .. });
    let is_dead = DEAD.iter().any(|(prefix, _)| name.starts_with(prefix));
    key(name).is_some() || has_prefix || is_in_file && (is_dead || suggestion(name).is_some())
}
