//! Errors of the configuration. The operator must fix each of them.

use super::charset::OddCharacter;
use super::setting::Origin;

/// Everything that is wrong, so that it can be fixed at once.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// Returns the first one, and how many more there are, for a place where the configuration is not the matter.
    pub fn brief(&self) -> String {
        let first = self.0.first().map_or_else(String::new, ToString::to_string);
        match self.0.len() {
            0 | 1 => first,
            2 => format!("{first} (1 more problem; `grail doctor` shows all)"),
            all => format!("{first} ({} more problems; `grail doctor` shows all)", all - 1),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key without a default is not set.
    #[error("{name} is not set: {remedy}")]
    Missing {
        /// The key.
        name: &'static str,
        /// How to get its value.
        remedy: &'static str,
    },
    /// A key without a default is not set, and a name much like it is.
    #[error("{name} is not set, and {typed} ({origin}) is not known: write {name} there")]
    Misspelled {
        /// The key.
        name: &'static str,
        /// The name that was typed.
        typed: String,
        /// The place where it was typed.
        origin: Origin,
    },
    /// A value that is not of the key's kind.
    #[error(
        "{name} ({origin}){found} cannot be used: write {expected}",
        found = found.as_ref().map(|text| format!(" is {text:?}, which")).unwrap_or_default()
    )]
    Invalid {
        /// The key.
        name: &'static str,
        /// The place where it was typed.
        origin: Origin,
        /// The value, unless it may hold a secret.
        found: Option<String>,
        /// The expected value.
        expected: &'static str,
    },
    /// A value with a character that it must not hold; nothing else of it is shown.
    #[error("{name} ({origin}) holds {odd}: {remedy}", remedy = odd.remedy())]
    Character {
        /// The key.
        name: String,
        /// The place where it was typed.
        origin: Origin,
        /// The character.
        odd: OddCharacter,
    },
    /// A value that counts on substitution.
    #[error("{name} ({origin}) holds `${{`, and variables are not expanded here: write the value out")]
    Substitution {
        /// The key.
        name: &'static str,
        /// The place where it was typed.
        origin: Origin,
    },
    /// A constant of the network that was changed.
    #[error(
        "{name} ({origin}) is {found:?}, but every validator expects {expected:?}: remove it, or set \
         BT_NETWORK=custom for a network of your own"
    )]
    Constant {
        /// The key.
        name: &'static str,
        /// The place where it was typed.
        origin: Origin,
        /// The value.
        found: String,
        /// The network's.
        expected: String,
    },
    /// A setting that public networks fix.
    #[error("{name} works only on custom networks: remove it, or set BT_NETWORK=custom")]
    OnlyCustom {
        /// The key.
        name: &'static str,
    },
    /// A custom network whose nodes are unknown.
    #[error(
        "BT_NETWORK is custom and BT_CHAIN_ENDPOINT is not set: set it to your node's address, for example \
         ws://127.0.0.1:9944"
    )]
    CustomWithoutEndpoint,
    /// A write key in the place of a read key.
    #[error(
        "{read} equals {write}, and the read key is published on the chain, so anybody could overwrite your bucket: \
         create a second R2 token with the permission `Object Read only` and set {read} to its key"
    )]
    WriteKeyPublished {
        /// The key for reading.
        read: &'static str,
        /// The key for writing.
        write: &'static str,
    },
    /// A bucket that validators do not read.
    #[error(
        "R2_BUCKET_ID is {bucket:?} and R2_ACCOUNT_ID is {account:?}: validators look for a bucket that is named \
         like the account, so create one with that name and take R2_BUCKET_ID out"
    )]
    OtherBucket {
        /// The bucket's name.
        bucket: String,
        /// The account's.
        account: String,
    },
    /// Read credentials that do not fit on the chain.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// wandb needs a key.
    #[error(
        "GRAIL_MONITORING_BACKEND is wandb and WANDB_API_KEY is not set: set it, or set WANDB_MODE=offline or \
         GRAIL_MONITORING_BACKEND=null"
    )]
    WandbWithoutKey,
    /// `~` without a home.
    #[error("BT_WALLET_PATH starts with ~ and HOME is not set: write the full path in BT_WALLET_PATH")]
    NoHome,
}

/// Why read credentials do not fit on the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Longer than its field.
    #[error(
        "{name} has {bytes} characters, and its field on the chain has {bytes_max}: copy it again from the R2 \
         dashboard, without anything around it"
    )]
    TooLong {
        /// The key.
        name: &'static str,
        /// Its length.
        bytes: usize,
        /// The field's length.
        bytes_max: usize,
    },
    /// Nothing to read with.
    #[error("R2_ACCOUNT_ID or one of R2_READ_* is empty: copy them again from the R2 dashboard")]
    Empty,
    /// Spaces, control characters or letters beyond ASCII.
    #[error(
        "{name} holds a character other than printable ASCII, or a space: copy it again from the R2 dashboard, \
         without anything around it"
    )]
    NotAscii {
        /// The key.
        name: &'static str,
    },
}
