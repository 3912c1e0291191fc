//! Exit codes: one number for each kind of ending, so that a supervisor knows whether to restart the command.
//!
//! Numbers above 63 are those of `sysexits.h`, which supervisors and shells know.

use std::io;
use std::process::ExitCode;

use crate::assembly::{BeaconSetupError, EngineStartError};
use grail_config::{ConfigErrors, CredentialsError, EnvFileError};
use grail_cuda::{CudaEngineError, CudaError};
use grail_engine::EngineError;
use grail_folder::FolderError;
use grail_hub::HubError;
use grail_live::bucket::BucketConfigError;
use grail_live::chain::ChainSettingsError;
use grail_live::cuda_engine::CudaWorkersError;
use grail_live::instance::HotkeyLockError;
use grail_live::journal::JournalFileError;
use grail_live::validator::ValidatorJournalError;
use grail_observe::control::ControlError;
use grail_observe::{LokiError, MetricsServerError, WandbError, WatchtowerError};
use grail_operator::doctor::{Examination, Hindrance, Obstacle, env_file_passes, passes, wallet_passes};
use grail_wallet::WalletError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command did what was asked.
    Success,
    /// The command did its work, and the result is negative.
    Negative,
    /// The command line, or a file that it names, cannot be used.
    Usage,
    /// A lock is held by another process, or something that the command needs is missing.
    Unavailable,
    /// The hotkey has no uid on the subnet.
    NotRegistered,
    /// A panic: a defect of this program.
    Defect,
    /// A temporary problem.
    Retry,
    /// The nodes are on another network, or speak another protocol.
    Protocol,
    /// A wallet, a key or a permission is wrong.
    Credentials,
    /// The configuration, the model, the device or the data folder is wrong.
    Configuration,
    /// A second signal.
    Interrupted,
    /// The reader of the output closed it.
    Unread,
}

impl Exit {
    /// All exits, by number.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Negative,
        Self::Usage,
        Self::Unavailable,
        Self::NotRegistered,
        Self::Defect,
        Self::Retry,
        Self::Protocol,
        Self::Credentials,
        Self::Configuration,
        Self::Interrupted,
        Self::Unread,
    ];

    /// Returns the exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
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

    /// Returns the name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Negative => "negative",
            Self::Usage => "usage",
            Self::Unavailable => "unavailable",
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

    /// Returns the meaning, as the documentation states it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success; a miner stopped cleanly",
            Self::Negative => "negative result: rejected, diverged, a violation, a failed check or a regression",
            Self::Usage => "bad command line, input or output",
            Self::Unavailable => {
                "unavailable: another miner holds the hotkey, a replay lacks its model, or no miner is running"
            }
            Self::NotRegistered => "the hotkey has no uid on the subnet",
            Self::Defect => "a defect of this program: restart it and report the message",
            Self::Retry => "a temporary problem: restart it",
            Self::Protocol => "every node is on another network or speaks another protocol",
            Self::Credentials => "a wallet, a key or a permission is wrong",
            Self::Configuration => "the configuration, the model, the device or the data folder is wrong",
            Self::Interrupted => "stopped by a second signal, without waiting",
            Self::Unread => "the reader of the output closed it, as `head` does",
        }
    }

    /// Returns whether a supervisor should restart the command: a restart or time alone can help.
    pub const fn asks_for_restart(self) -> bool {
        matches!(self, Self::Defect | Self::Retry | Self::Interrupted)
    }

    /// Returns the evidence that only a person can fix it; none where a restart may help.
    pub const fn witness(self) -> Option<&'static str> {
        Some(match self {
            Self::Success | Self::Defect | Self::Retry | Self::Interrupted => return None,
            Self::Negative => "the command's own verdict; the same input gives the same verdict",
            Self::Unread => "the operating system, which reports that the reader closed the output",
            Self::Usage => "the command line and the files that it names",
            Self::Unavailable => {
                "a lock that the operating system grants to a running process, or the guard object in the bucket, renewed within \
                 the last 30 block times"
            }
            Self::NotRegistered => {
                "a chain endpoint of the right network that is not syncing and whose newest block is recent; no such endpoint \
                 shows a uid"
            }
            Self::Protocol => "every configured endpoint: each answered with another genesis hash than the network's",
            Self::Credentials => {
                "the wallet file on this disk; for the bucket the store itself, by an error code that names the key or the \
                 permission; for a published write key, the key"
            }
            Self::Configuration => {
                "the configuration, the model's files or the data folder on this disk; the device's driver, which answered; \
                 or the store itself, by an error code that names the bucket, the region or the missing feature"
            }
        })
    }

    /// Returns the exit for an error that ended a command.
    pub fn of(error: &anyhow::Error) -> Self {
        let is_wallet = error.chain().any(|cause| cause.is::<WalletError>());
        let denied = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_denied);
        match denied && !is_wallet {
            // Whatever was to be done: no waiting gives a right to it.
            true => Self::Configuration,
            false => error.chain().find_map(Self::of_cause).unwrap_or(Self::Usage),
        }
    }

    /// Returns the exit for an error of a file that the command line names.
    pub fn of_file(error: &io::Error) -> Self {
        if is_denied(error) { Self::Configuration } else { Self::Usage }
    }

    /// As [`Exit::of`], for a command under a supervisor: an unknown error asks for a restart.
    pub fn of_service(error: &anyhow::Error) -> Self {
        let of_system = |cause: &(dyn std::error::Error + 'static)| {
            let error = cause.downcast_ref::<io::Error>()?;
            let is_lasting = matches!(
                error.kind(),
                io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
            );
            is_lasting.then_some(Self::Configuration)
        };
        let known = error.chain().find_map(Self::of_cause);
        known.or_else(|| error.chain().find_map(of_system)).unwrap_or(Self::Retry)
    }

    /// Returns the exit for an engine that does not start. Another process may still hold the device or its memory.
    pub fn of_engine(error: &EngineStartError) -> Self {
        use CudaWorkersError::Engine;

        if let EngineStartError::Cuda(Engine(error)) = error
            && let Some(exit) = Self::of_device(error)
        {
            return exit;
        }
        Self::Configuration.unless(match error {
            EngineStartError::Cuda(Engine(CudaEngineError::Engine(EngineError::File { source, .. })))
            | EngineStartError::Embedded(EngineError::File { source, .. })
            | EngineStartError::Folder { source: EngineError::File { source, .. }, .. }
            | EngineStartError::Thread(source) => passes(source),
            _ => false,
        })
    }

    /// Returns the exit that the startup checks demand; none if mining may start.
    pub fn of_examination(examination: &Examination) -> Option<Self> {
        examination.hindrance().map(Self::from)
    }

    /// Returns the exit for a failed CUDA device; another process may still hold its memory.
    fn of_device(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        use CudaError::{DeviceLost, Driver, OutOfMemory};

        let error = match cause.downcast_ref() {
            Some(CudaEngineError::Cuda(error)) => error,
            _ => cause.downcast_ref::<CudaError>()?,
        };
        Some(Self::Configuration.unless(matches!(error, OutOfMemory { .. } | DeviceLost { .. } | Driver { .. })))
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<ExitError>() {
            return Some(error.exit);
        }
        if cause.is::<ControlError>() {
            return Some(Self::Unavailable);
        }
        if let Some(exit) = Self::of_device(cause) {
            return Some(exit);
        }
        if let Some(error) = cause.downcast_ref::<JournalFileError>() {
            return Some(match error {
                JournalFileError::Locked { .. } => Self::Unavailable,
                JournalFileError::DiskFull { .. } | JournalFileError::Ended => Self::Retry,
                JournalFileError::Io { source, .. } => Self::Configuration.unless(passes(source)),
                _ => Self::Configuration,
            });
        }
        if let Some(error) = cause.downcast_ref::<ValidatorJournalError>() {
            return Some(match error {
                ValidatorJournalError::InUse(_) => Self::Unavailable,
                ValidatorJournalError::File { source, .. } => Self::Configuration.unless(passes(source)),
                ValidatorJournalError::Folder(_) => Self::Configuration,
            });
        }
        if let Some(error) = cause.downcast_ref::<FolderError>() {
            return Some(match error {
                FolderError::Io { source, .. } => Self::Configuration.unless(passes(source)),
                _ => Self::Configuration,
            });
        }
        if let Some(error) = cause.downcast_ref::<HubError>() {
            return Some(match error {
                // A damaged file was removed, and is fetched again.
                HubError::Download { .. } | HubError::Start(_) | HubError::Damaged { .. } => Self::Retry,
                HubError::Read { source, .. } => Self::Configuration.unless(passes(source)),
                _ => Self::Configuration,
            });
        }
        if let Some(error) = cause.downcast_ref::<MetricsServerError>() {
            return Some(match error {
                MetricsServerError::Start(_) => Self::Retry,
                // A process that is ending may still have the port.
                MetricsServerError::Listen { why, .. } => Self::Configuration.unless(passes(why)),
                MetricsServerError::NotLoopback(_) => Self::Configuration,
            });
        }
        if let Some(error) = cause.downcast_ref::<HotkeyLockError>() {
            return Some(match error {
                HotkeyLockError::Taken { .. } => Self::Unavailable,
                HotkeyLockError::Io { source, .. } => Self::Credentials.unless(passes(source)),
            });
        }
        if let Some(error) = cause.downcast_ref::<WalletError>() {
            return Some(Self::Credentials.unless(wallet_passes(error)));
        }
        if let Some(error) = cause.downcast_ref::<EnvFileError>() {
            return Some(Self::Configuration.unless(env_file_passes(error)));
        }
        let is_configuration = cause.is::<ConfigErrors>()
            || cause.is::<CredentialsError>()
            || cause.is::<ChainSettingsError>()
            || cause.is::<BucketConfigError>()
            || cause.is::<BeaconSetupError>()
            || matches!(cause.downcast_ref(), Some(LokiError::Client(_)))
            || matches!(cause.downcast_ref(), Some(WatchtowerError::Client(_)))
            || matches!(cause.downcast_ref(), Some(WandbError::Client(_) | WandbError::Folder { .. }));
        is_configuration.then_some(Self::Configuration)
    }

    /// Returns `Retry` if the reason is temporary, and `self` otherwise.
    const fn unless(self, passes: bool) -> Self {
        if passes { Self::Retry } else { self }
    }
}

impl From<Hindrance> for Exit {
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

/// Returns whether the operating system denied access.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that carries the exit of its command.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ExitError {
    /// The exit.
    pub exit: Exit,
    text: String,
}

impl ExitError {
    /// Creates an error; `text` must name the remedy.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    /// Returns the rows of the first table below a heading.
    fn table<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
        page.lines()
            .skip_while(|line| *line != heading)
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .collect()
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../docs/exit-codes.md");
        let row = |exit: &Exit| {
            let restart = if exit.asks_for_restart() { "yes" } else { "no" };
            let witness = exit.witness().unwrap_or("–");
            format!("| {} | `{}` | {} | {restart} | {witness} |", exit.code(), exit.name(), exit.meaning())
        };
        assert_eq!(table(page, "# Exit codes"), Exit::ALL.iter().map(row).collect::<Vec<_>>());
        let kept_down = Exit::ALL.iter().filter(|exit| !exit.asks_for_restart() && exit.code() > 0);
        let codes: Vec<String> = kept_down.map(|exit| exit.code().to_string()).collect();
        let line = format!("RestartPreventExitStatus={}", codes.join(" "));
        assert!(page.contains(&line), "docs/exit-codes.md lacks {line}");
    }

    #[test]
    fn a_code_has_a_witness_exactly_if_it_must_not_be_restarted() {
        for exit in Exit::ALL.iter().filter(|exit| exit.code() > 0) {
            assert_eq!(exit.witness().is_some(), !exit.asks_for_restart(), "{}", exit.name());
        }
    }

    #[test]
    fn what_passes_is_no_reason_to_end_for_good() {
        let [denied, full] = [13, 28].map(std::io::Error::from_raw_os_error);
        let listen = |why| MetricsServerError::Listen { address: ([127, 0, 0, 1], 9464).into(), why };
        assert_eq!(Exit::of(&listen(std::io::ErrorKind::AddrInUse.into()).into()), Exit::Retry);
        assert_eq!(Exit::of(&listen(std::io::ErrorKind::PermissionDenied.into()).into()), Exit::Configuration);
        let journal = |source| JournalFileError::Io { doing: "writing", path: "j".into(), source };
        assert_eq!(Exit::of(&journal(std::io::ErrorKind::TimedOut.into()).into()), Exit::Retry);
        assert_eq!(Exit::of(&JournalFileError::DiskFull { path: "j".into() }.into()), Exit::Retry);
        let wallet = |source| WalletError::Unreadable { path: "w".into(), source };
        assert_eq!(Exit::of(&wallet(std::io::Error::from_raw_os_error(5)).into()), Exit::Retry);
        assert_eq!(Exit::of(&wallet(std::io::ErrorKind::PermissionDenied.into()).into()), Exit::Credentials);
        let unknown = |error: std::io::Error| Exit::of_service(&anyhow::Error::new(error).context("while starting"));
        assert_eq!((unknown(denied), unknown(full)), (Exit::Configuration, Exit::Retry));
        assert_eq!(Exit::of_service(&anyhow::anyhow!("nobody knows")), Exit::Retry);
        let device = |error| Exit::of_engine(&CudaWorkersError::Engine(CudaEngineError::Cuda(error)).into());
        let file = |source| EngineError::File { path: "m".into(), source };
        let folder = |source| Exit::of_engine(&EngineStartError::Folder { model: "m".into(), source: file(source) });
        assert_eq!(folder(io::ErrorKind::TimedOut.into()), Exit::Retry);
        assert_eq!(folder(io::ErrorKind::NotFound.into()), Exit::Configuration);
        assert_eq!(device(CudaError::OutOfMemory { what: "weights", bytes: 1 }), Exit::Retry);
        let none = || CudaError::NoDevice { ordinal: 1, count: 1 };
        assert_eq!(device(none()), Exit::Configuration);
        assert_eq!(Exit::of(&none().into()), Exit::Configuration);
        assert_eq!(
            Exit::of(&anyhow::Error::new(CudaEngineError::Cuda(none())).context("proving")),
            Exit::Configuration
        );
    }

    #[test]
    fn what_the_system_denies_is_a_matter_of_configuration_whoever_met_it() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            let error = anyhow::Error::new(io::Error::from(kind)).context("cannot write receipts in /data");
            assert_eq!(Exit::of(&error), Exit::Configuration, "{kind}");
            let path = || "/data/instance-id".into();
            let error = HotkeyLockError::Io { doing: "write", path: path(), source: kind.into() };
            assert_eq!(Exit::of(&error.into()), Exit::Configuration, "{kind}");
            let error = WalletError::Unreadable { path: path(), source: kind.into() };
            assert_eq!(Exit::of(&error.into()), Exit::Credentials, "{kind}");
        }
        let interrupted = io::Error::from(io::ErrorKind::Interrupted);
        assert_eq!(Exit::of(&anyhow::Error::new(interrupted)), Exit::Usage);
    }

    #[test]
    fn an_error_is_what_its_gravest_known_cause_is() {
        let missing = || EnvFileError::Missing { path: "x".into() };
        assert_eq!(Exit::of(&anyhow::Error::new(missing())), Exit::Configuration);
        let wrapped = Err::<(), _>(missing()).context("while starting").unwrap_err();
        assert_eq!(Exit::of(&wrapped), Exit::Configuration);
        assert_eq!(Exit::of(&anyhow::anyhow!("no such option")), Exit::Usage);
        assert_eq!(Exit::of(&ExitError::new(Exit::Protocol, "x").into()), Exit::Protocol);
    }
}
