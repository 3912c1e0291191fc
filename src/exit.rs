//! How a command ends: one number for each kind of ending, so that whoever started it knows whether to start it again.
//!
//! The numbers above 63 are those of `sysexits.h`, which supervisors and shells know.

use std::process::ExitCode;

use crate::assembly::BeaconSetupError;
use grail_config::{ConfigErrors, CredentialsError, EnvFileError};
use grail_folder::FolderError;
use grail_hub::HubError;
use grail_live::bucket::BucketConfigError;
use grail_live::chain::ChainSettingsError;
use grail_live::instance::HotkeyLockError;
use grail_live::journal::JournalFileError;
use grail_observe::EndpointError;
use grail_observe::control::ControlError;
use grail_wallet::WalletError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As it should.
    Success,
    /// The command did its work, and the answer is no.
    No,
    /// What was typed, or the file that it names, cannot be used.
    Usage,
    /// Something is in another's hands, or not here.
    Elsewhere,
    /// The hotkey has no uid on the subnet.
    NotRegistered,
    /// A panic: a defect of this program.
    Defect,
    /// Something that time heals.
    Retry,
    /// The other side speaks another protocol, or is another network.
    Protocol,
    /// A wallet, a key or its permissions.
    Credentials,
    /// The configuration, the model, the device, or the folder for data.
    Configuration,
    /// A second signal.
    Interrupted,
    /// Whoever read the output has closed it.
    Unread,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::No,
        Self::Usage,
        Self::Elsewhere,
        Self::NotRegistered,
        Self::Defect,
        Self::Retry,
        Self::Protocol,
        Self::Credentials,
        Self::Configuration,
        Self::Interrupted,
        Self::Unread,
    ];

    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Elsewhere => 3,
            Self::NotRegistered => 67,
            Self::Defect => 70,
            Self::Retry => 75,
            Self::Protocol => 76,
            Self::Credentials => 77,
            Self::Configuration => 78,
            Self::Interrupted => 130,
            // As if SIGPIPE had ended it, which this program does not let happen.
            Self::Unread => 141,
        }
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::No => "no",
            Self::Usage => "usage",
            Self::Elsewhere => "elsewhere",
            Self::NotRegistered => "not_registered",
            Self::Defect => "defect",
            Self::Retry => "retry",
            Self::Protocol => "protocol",
            Self::Credentials => "credentials",
            Self::Configuration => "configuration",
            Self::Interrupted => "interrupted",
            Self::Unread => "unread",
        }
    }

    /// What it means, as the documentation has it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "all is well; a miner stopped in good order",
            Self::No => "the answer is no: rejected, diverged, a violation, a failed check, a regression",
            Self::Usage => "the command, its input or its output cannot be used",
            Self::Elsewhere => {
                "another miner has the hotkey; what a replay needs is not here; no miner runs that could be asked"
            }
            Self::NotRegistered => "the hotkey has no uid on the subnet",
            Self::Defect => "a defect of this program: start it again, and report what it says",
            Self::Retry => "something that time heals: start it again",
            Self::Protocol => "every node is of another network, or speaks another protocol",
            Self::Credentials => "a wallet, a key or its permissions",
            Self::Configuration => "the configuration, the model, the device or the data folder",
            Self::Interrupted => "ended by a second signal, without waiting",
            Self::Unread => "whoever read the output has closed it, as `head` does",
        }
    }

    /// Whether a supervisor should start the command again: nothing but time is needed, or another start.
    pub const fn heals(self) -> bool {
        matches!(self, Self::Defect | Self::Retry | Self::Interrupted)
    }

    /// What an error that ends a command amounts to.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Usage)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(told) = cause.downcast_ref::<Told>() {
            return Some(told.exit);
        }
        if cause.is::<ControlError>() {
            return Some(Self::Elsewhere);
        }
        if let Some(error) = cause.downcast_ref::<JournalFileError>() {
            return Some(if matches!(error, JournalFileError::Locked { .. }) {
                Self::Elsewhere
            } else {
                Self::Configuration
            });
        }
        if let Some(error) = cause.downcast_ref::<HubError>() {
            let is_passing = matches!(error, HubError::Download { .. } | HubError::Start(_));
            return Some(if is_passing { Self::Retry } else { Self::Configuration });
        }
        if let Some(error) = cause.downcast_ref::<EndpointError>() {
            return Some(if matches!(error, EndpointError::Start(_)) { Self::Retry } else { Self::Configuration });
        }
        if let Some(error) = cause.downcast_ref::<HotkeyLockError>() {
            return Some(if matches!(error, HotkeyLockError::Taken { .. }) {
                Self::Elsewhere
            } else {
                Self::Credentials
            });
        }
        let is_configuration = cause.is::<ConfigErrors>()
            || cause.is::<EnvFileError>()
            || cause.is::<CredentialsError>()
            || cause.is::<ChainSettingsError>()
            || cause.is::<BucketConfigError>()
            || cause.is::<BeaconSetupError>()
            || cause.is::<FolderError>();
        match () {
            () if cause.is::<WalletError>() => Some(Self::Credentials),
            () if is_configuration => Some(Self::Configuration),
            () => None,
        }
    }

    /// What a failed check of `grail doctor` amounts to, by its code.
    pub fn of_check(code: &str) -> Self {
        match code {
            "chain.registration" => Self::NotRegistered,
            // An obstacle only where every node is of another network.
            "chain.endpoint" => Self::Protocol,
            "chain.commitment" => Self::Credentials,
            "bucket.name" => Self::Configuration,
            _ if code.starts_with("wallet.") || code.starts_with("bucket.") => Self::Credentials,
            _ => Self::Configuration,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that says itself how the command ends.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Told {
    /// How.
    pub exit: Exit,
    text: String,
}

impl Told {
    /// An error of this kind; its text names the remedy.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_documented_table_is_this_one() {
        let readme = include_str!("../README.md");
        let table: Vec<&str> = readme
            .lines()
            .skip_while(|line| *line != "## Exit codes")
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let again = |exit: Exit| if exit.heals() { "yes" } else { "no" };
        let ours: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | `{}` | {} | {} |", exit.code(), exit.name(), exit.meaning(), again(*exit)))
            .collect();
        assert_eq!(table, ours);
        let kept_down: Vec<String> = Exit::ALL
            .iter()
            .filter(|exit| !exit.heals() && exit.code() > 0)
            .map(|exit| exit.code().to_string())
            .collect();
        let line = format!("RestartPreventExitStatus={}", kept_down.join(" "));
        assert!(readme.contains(&line), "README lacks {line}");
    }

    #[test]
    fn an_error_is_what_its_gravest_known_cause_is() {
        let missing = || EnvFileError::Missing { path: "x".into() };
        assert_eq!(Exit::of(&anyhow::Error::new(missing())), Exit::Configuration);
        let wrapped = Err::<(), _>(missing()).context("while starting").unwrap_err();
        assert_eq!(Exit::of(&wrapped), Exit::Configuration);
        assert_eq!(Exit::of(&anyhow::anyhow!("no such option")), Exit::Usage);
        assert_eq!(Exit::of(&Told::new(Exit::Protocol, "x").into()), Exit::Protocol);
    }
}
