//! What is worth telling about a configuration that can be used.

use std::fmt;

use secrecy::ExposeSecret;

use super::keys::{DEAD, OUR_PREFIXES, PASSWORD_PREFIX, is_known};
use super::setting::{Origin, Setting};
use super::suggestion::suggestion;

/// Something to tell the operator; mining goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A name that looks like ours and is not known.
    Unknown {
        /// The name.
        name: String,
        /// Where it was typed.
        origin: Origin,
        /// The name that may have been meant.
        suggestion: Option<&'static str>,
    },
    /// A name without effect here.
    Dead {
        /// The name.
        name: String,
        /// Where it was typed.
        origin: Origin,
        /// Why it has no effect.
        why: &'static str,
    },
    /// Another value was typed for the same name.
    Overruled {
        /// The name.
        name: String,
        /// Where the value stands that holds.
        won: Origin,
        /// Where the value stands that does not.
        lost: Origin,
    },
    /// A value that is allowed and probably not meant.
    Doubtful {
        /// The name.
        name: &'static str,
        /// What is doubtful, and what to do.
        what: String,
    },
}

impl Notice {
    /// What the name and its sources alone tell.
    pub(super) fn about(name: &str, setting: &Setting) -> Vec<Self> {
        let (name, origin) = (name.to_owned(), setting.won.origin.clone());
        if !is_known(&name) && !name.starts_with(PASSWORD_PREFIX) {
            let dead = DEAD.iter().find(|(prefix, _)| name.starts_with(prefix));
            return vec![match dead {
                Some((_, why)) => Self::Dead { name, origin, why },
                None => Self::Unknown { suggestion: suggestion(&name), name, origin },
            }];
        }
        let won = setting.won.value.expose_secret();
        let others = setting.lost.iter().filter(|lost| lost.value.expose_secret() != won);
        let overruled = |lost: Origin| Self::Overruled { name: name.clone(), won: origin.clone(), lost };
        others.map(|lost| overruled(lost.origin.clone())).collect()
    }

    /// A stable word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::Dead { .. } => "dead",
            Self::Overruled { .. } => "overruled",
            Self::Doubtful { .. } => "doubtful",
        }
    }

    /// The name that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } | Self::Dead { name, .. } | Self::Overruled { name, .. } => name,
            Self::Doubtful { name, .. } => name,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, origin, suggestion: Some(meant) } => {
                write!(f, "{name} ({origin}) is not known: did you mean {meant}?")
            }
            Self::Unknown { name, origin, suggestion: None } => {
                write!(f, "{name} ({origin}) is not known: take it out, or see .env.example for the names")
            }
            Self::Dead { name, origin, why } => write!(f, "{name} ({origin}) has no effect: {why}"),
            Self::Overruled { name, won, lost } => {
                write!(f, "{name} has another value at {lost}, and the one from {won} holds: take one of them out")?;
                let is_surprising = matches!((won, lost), (Origin::Environment, Origin::File { .. }));
                if is_surprising { f.write_str(", or set GRAIL_ENV_OVERRIDE=1 to let the file win") } else { Ok(()) }
            }
            Self::Doubtful { name, what } => write!(f, "{name} {what}"),
        }
    }
}

/// Whether a name concerns us: known, of one of our prefixes, or in our file and close to a known one.
pub(super) fn is_ours(name: &str, origin: &Origin) -> bool {
    let upper = name.to_uppercase();
    let has_prefix = OUR_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    let is_in_file = matches!(origin, Origin::File { .. });
    let is_dead = DEAD.iter().any(|(prefix, _)| name.starts_with(prefix));
    is_known(name) || has_prefix || is_in_file && (is_dead || suggestion(name).is_some())
}
