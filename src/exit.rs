//! How a command ends: one number for each kind of ending, so that whoever started it knows whether to start it again.
//!
//! The numbers above 63 are those of `sysexits.h`, which supervisors and shells know.

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
use grail_observe::control::ControlError;
use grail_observe::{EndpointError, LokiError, WandbError, WatchtowerError};
use grail_operator::doctor::{Examination, Hindrance, Obstacle, env_file_passes, passes, wallet_passes};
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

    /// Who says that only a person can mend it, and why that can be believed; none where starting again may help.
    pub const fn witness(self) -> Option<&'static str> {
        Some(match self {
            Self::Success | Self::Defect | Self::Retry | Self::Interrupted => return None,
            Self::No => "the command's own verdict on what it was given; it would be the same again",
            Self::Unread => "the system, which reports that the reader of the output has closed it",
            Self::Usage => "the command line and the files that it names, as they were read",
            Self::Elsewhere => {
                "a lock that the system grants to a living process, or the guard in the bucket, renewed within the last \
                 30 block times"
            }
            Self::NotRegistered => {
                "a chain endpoint of the right network that is not syncing and whose newest block is young, while no such \
                 endpoint shows a uid"
            }
            Self::Protocol => "every configured endpoint: each answered, and each has another genesis than the network",
            Self::Credentials => {
                "the wallet's file on this disk; for the bucket the store itself, by an error code that names the key or \
                 the permission; for a published write key the key"
            }
            Self::Configuration => {
                "the configuration, the model's files or the data folder on this disk; the driver of the device, which \
                 answered; or the store itself, by an error code that names the bucket, the region or what it lacks"
            }
        })
    }

    /// What an error that ends a command amounts to.
    pub fn of(error: &anyhow::Error) -> Self {
        let is_wallet = error.chain().any(|cause| cause.is::<WalletError>());
        let denied = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_denied);
        match denied && !is_wallet {
            // Whatever was to be done: no waiting gives a right to it.
            true => Self::Configuration,
            false => error.chain().find_map(Self::of_cause).unwrap_or(Self::Usage),
        }
    }

    /// What an error of a file that was named amounts to.
    pub fn of_file(error: &io::Error) -> Self {
        if is_denied(error) { Self::Configuration } else { Self::Usage }
    }

    /// The same for a command that a supervisor keeps running: an error that nobody knows is no reason to end for good.
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

    /// What an engine that does not start amounts to: another process may still hold the device or its memory.
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

    /// How mining ends before it begins, by what the startup checks found; none if nothing keeps it from beginning.
    pub fn of_examination(examination: &Examination) -> Option<Self> {
        examination.hindrance().map(Self::from)
    }

    /// What the failure of a CUDA device amounts to; another process may still hold its memory.
    fn of_device(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        use CudaError::{DeviceLost, Driver, OutOfMemory};

        let error = match cause.downcast_ref() {
            Some(CudaEngineError::Cuda(error)) => error,
            _ => cause.downcast_ref::<CudaError>()?,
        };
        Some(Self::Configuration.unless(matches!(error, OutOfMemory { .. } | DeviceLost { .. } | Driver { .. })))
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(told) = cause.downcast_ref::<Told>() {
            return Some(told.exit);
        }
        if cause.is::<ControlError>() {
            return Some(Self::Elsewhere);
        }
        if let Some(exit) = Self::of_device(cause) {
            return Some(exit);
        }
        if let Some(error) = cause.downcast_ref::<JournalFileError>() {
            return Some(match error {
                JournalFileError::Locked { .. } => Self::Elsewhere,
                JournalFileError::DiskFull { .. } | JournalFileError::Ended => Self::Retry,
                JournalFileError::Io { source, .. } => Self::Configuration.unless(passes(source)),
                _ => Self::Configuration,
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
        if let Some(error) = cause.downcast_ref::<EndpointError>() {
            return Some(match error {
                EndpointError::Start(_) => Self::Retry,
                // A process that is ending may still have the port.
                EndpointError::Listen { why, .. } => Self::Configuration.unless(passes(why)),
                EndpointError::NotLoopback(_) => Self::Configuration,
            });
        }
        if let Some(error) = cause.downcast_ref::<HotkeyLockError>() {
            return Some(match error {
                HotkeyLockError::Taken { .. } => Self::Elsewhere,
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

    /// This, unless the reason passes by itself.
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

/// Whether the system refuses because of whose something is, or since it is only to be read.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
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

    /// The rows of the first table below a heading.
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
        let readme = include_str!("../README.md");
        let table = table(readme, "## Exit codes");
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
    fn every_code_that_must_not_be_restarted_has_its_witness_in_the_documents() {
        let table = table(include_str!("../docs/exit-codes.md"), "# Exit codes and their witnesses");
        let final_codes = Exit::ALL.iter().filter(|exit| !exit.heals() && exit.code() > 0);
        let row = |exit: &Exit| {
            let witness = exit.witness().unwrap_or_else(|| panic!("{} has no witness", exit.name()));
            format!("| {} | `{}` | {} | {witness} |", exit.code(), exit.name(), exit.meaning())
        };
        assert_eq!(table, final_codes.map(row).collect::<Vec<_>>());
        assert!(Exit::ALL.iter().filter(|exit| exit.heals()).all(|exit| exit.witness().is_none()));
    }

    #[test]
    fn what_passes_is_no_reason_to_end_for_good() {
        let [denied, full] = [13, 28].map(std::io::Error::from_raw_os_error);
        let listen = |why| EndpointError::Listen { address: ([127, 0, 0, 1], 9464).into(), why };
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
        assert_eq!(Exit::of(&Told::new(Exit::Protocol, "x").into()), Exit::Protocol);
    }
}
