//! Exit codes of errors.

use std::io::{self, ErrorKind};

use crate::assembly::{BeaconSetupError, EngineStartError};
use grail_config::{ConfigErrors, CredentialsError, EnvFileError};
use grail_cuda::{CudaEngineError, CudaError};
use grail_engine::EngineError;
use grail_folder::FolderError;
use grail_hub::HubError;
use grail_journal::{JournalFileError, ValidatorJournalError};
use grail_live::bucket::BucketConfigError;
use grail_live::chain::ChainSettingsError;
use grail_live::cuda_engine::CudaWorkersError;
use grail_live::instance::HotkeyLockError;
use grail_observe::control::ControlError;
use grail_observe::{LokiError, MetricsServerError, WandbError, WatchtowerError};
use grail_operator::doctor::{Examination, env_file_passes, passes, wallet_passes};
use grail_terminal::is_denied;
pub use grail_terminal::{Exit, ExitError};
use grail_wallet::WalletError;

/// Returns the exit for an error that ended a command.
pub fn of(error: &anyhow::Error) -> Exit {
    let is_wallet = error.chain().any(|cause| cause.is::<WalletError>());
    let denied = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_denied);
    match denied && !is_wallet {
        // Waiting does not grant a permission.
        true => Exit::Configuration,
        false => error.chain().find_map(of_cause).unwrap_or(Exit::Usage),
    }
}

/// As [`of`], for a command under a supervisor: an unknown error asks for a restart.
pub fn of_service(error: &anyhow::Error) -> Exit {
    let of_system = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<io::Error>()?;
        let is_wrong_path =
            matches!(error.kind(), ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::NotFound);
        (is_wrong_path || is_denied(error)).then_some(Exit::Configuration)
    };
    let known = error.chain().find_map(of_cause);
    known.or_else(|| error.chain().find_map(of_system)).unwrap_or(Exit::Retry)
}

/// Returns the exit for an engine that does not start. Another process may still hold the device or its memory.
pub fn of_engine(error: &EngineStartError) -> Exit {
    use CudaWorkersError::Engine;

    if let EngineStartError::Cuda(Engine(error)) = error
        && let Some(exit) = of_device(error)
    {
        return exit;
    }
    Exit::Configuration.unless(match error {
        EngineStartError::Cuda(Engine(CudaEngineError::Engine(EngineError::File { source, .. })))
        | EngineStartError::Embedded(EngineError::File { source, .. })
        | EngineStartError::Folder { source: EngineError::File { source, .. }, .. }
        | EngineStartError::Thread(source) => passes(source),
        _ => false,
    })
}

/// Returns the exit that the startup checks demand; none if mining may start.
pub fn of_examination(examination: &Examination) -> Option<Exit> {
    examination.hindrance().map(Exit::from)
}

/// Returns the exit for a failed CUDA device; another process may still hold its memory.
fn of_device(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    use CudaError::{DeviceLost, Driver, OutOfMemory};

    let error = match cause.downcast_ref() {
        Some(CudaEngineError::Cuda(error)) => error,
        _ => cause.downcast_ref::<CudaError>()?,
    };
    Some(Exit::Configuration.unless(matches!(error, OutOfMemory { .. } | DeviceLost { .. } | Driver { .. })))
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<ExitError>() {
        return Some(error.exit);
    }
    if cause.is::<ControlError>() {
        return Some(Exit::Unavailable);
    }
    if let Some(exit) = of_device(cause) {
        return Some(exit);
    }
    if let Some(error) = cause.downcast_ref::<JournalFileError>() {
        return Some(match error {
            JournalFileError::Locked { .. } => Exit::Unavailable,
            JournalFileError::DiskFull { .. } | JournalFileError::Ended => Exit::Retry,
            JournalFileError::Io { source, .. } => Exit::Configuration.unless(passes(source)),
            _ => Exit::Configuration,
        });
    }
    if let Some(error) = cause.downcast_ref::<ValidatorJournalError>() {
        return Some(match error {
            ValidatorJournalError::InUse(_) => Exit::Unavailable,
            ValidatorJournalError::File { source, .. } => Exit::Configuration.unless(passes(source)),
            ValidatorJournalError::Folder(_) => Exit::Configuration,
        });
    }
    if let Some(error) = cause.downcast_ref::<FolderError>() {
        return Some(match error {
            FolderError::Io { source, .. } => Exit::Configuration.unless(passes(source)),
            _ => Exit::Configuration,
        });
    }
    if let Some(error) = cause.downcast_ref::<HubError>() {
        return Some(match error {
            // A damaged file was removed; the next start fetches it again.
            HubError::Download { .. } | HubError::Start(_) | HubError::Damaged { .. } => Exit::Retry,
            HubError::Read { source, .. } => Exit::Configuration.unless(passes(source)),
            _ => Exit::Configuration,
        });
    }
    if let Some(error) = cause.downcast_ref::<MetricsServerError>() {
        return Some(match error {
            MetricsServerError::Start(_) => Exit::Retry,
            // A process that is ending may still have the port.
            MetricsServerError::Listen { why, .. } => Exit::Configuration.unless(passes(why)),
            MetricsServerError::NotLoopback(_) => Exit::Configuration,
        });
    }
    if let Some(error) = cause.downcast_ref::<HotkeyLockError>() {
        return Some(match error {
            HotkeyLockError::Taken(_) => Exit::Unavailable,
            HotkeyLockError::Io { source, .. } => Exit::Credentials.unless(passes(source)),
        });
    }
    if let Some(error) = cause.downcast_ref::<WalletError>() {
        return Some(Exit::Credentials.unless(wallet_passes(error)));
    }
    if let Some(error) = cause.downcast_ref::<EnvFileError>() {
        return Some(Exit::Configuration.unless(env_file_passes(error)));
    }
    let is_configuration = cause.is::<ConfigErrors>()
        || cause.is::<CredentialsError>()
        || cause.is::<ChainSettingsError>()
        || cause.is::<BucketConfigError>()
        || cause.is::<BeaconSetupError>()
        || matches!(cause.downcast_ref(), Some(LokiError::Client(_)))
        || matches!(cause.downcast_ref(), Some(WatchtowerError::Client(_)))
        || matches!(cause.downcast_ref(), Some(WandbError::Client(_) | WandbError::Folder { .. }));
    is_configuration.then_some(Exit::Configuration)
}
