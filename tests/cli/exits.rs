//! Which exit follows from which error.

use std::io;

use anyhow::Context;
use grail::assembly::EngineStartError;
use grail::exit::{Exit, ExitError, of, of_engine, of_service};
use grail_config::EnvFileError;
use grail_cuda::{CudaEngineError, CudaError};
use grail_engine::EngineError;
use grail_journal::JournalFileError;
use grail_live::cuda_engine::CudaWorkersError;
use grail_live::instance::HotkeyLockError;
use grail_observe::MetricsServerError;
use grail_wallet::WalletError;

use crate::process::{finish, folder, grail};

#[test]
fn temporary_problems_are_no_reason_to_stop_permanently() {
    let [denied, full] = [13, 28].map(std::io::Error::from_raw_os_error);
    let listen = |why| MetricsServerError::Listen { address: ([127, 0, 0, 1], 9464).into(), why };
    assert_eq!(of(&listen(std::io::ErrorKind::AddrInUse.into()).into()), Exit::Retry);
    assert_eq!(of(&listen(std::io::ErrorKind::PermissionDenied.into()).into()), Exit::Configuration);
    let journal = |source| JournalFileError::Io { doing: "writing", path: "j".into(), source };
    assert_eq!(of(&journal(std::io::ErrorKind::TimedOut.into()).into()), Exit::Retry);
    assert_eq!(of(&JournalFileError::DiskFull { path: "j".into() }.into()), Exit::Retry);
    let wallet = |source| WalletError::Unreadable { path: "w".into(), source };
    assert_eq!(of(&wallet(std::io::Error::from_raw_os_error(5)).into()), Exit::Retry);
    assert_eq!(of(&wallet(std::io::ErrorKind::PermissionDenied.into()).into()), Exit::Credentials);
    let unknown = |error: std::io::Error| of_service(&anyhow::Error::new(error).context("while starting"));
    assert_eq!((unknown(denied), unknown(full)), (Exit::Configuration, Exit::Retry));
    assert_eq!(of_service(&anyhow::anyhow!("nobody knows")), Exit::Retry);
    let device = |error| of_engine(&CudaWorkersError::Engine(CudaEngineError::Cuda(error)).into());
    let file = |source| EngineError::File { path: "m".into(), source };
    let folder = |source| of_engine(&EngineStartError::Folder { model: "m".into(), source: file(source) });
    assert_eq!(folder(io::ErrorKind::TimedOut.into()), Exit::Retry);
    assert_eq!(folder(io::ErrorKind::NotFound.into()), Exit::Configuration);
    assert_eq!(device(CudaError::OutOfMemory { what: "weights", bytes: 1 }), Exit::Retry);
    let none = || CudaError::NoDevice { ordinal: 1, count: 1 };
    assert_eq!(device(none()), Exit::Configuration);
    assert_eq!(of(&none().into()), Exit::Configuration);
    assert_eq!(of(&anyhow::Error::new(CudaEngineError::Cuda(none())).context("proving")), Exit::Configuration);
}

#[test]
fn denied_permissions_are_configuration_errors_in_every_part() {
    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
        let error = anyhow::Error::new(io::Error::from(kind)).context("cannot write receipts in /data");
        assert_eq!(of(&error), Exit::Configuration, "{kind}");
        let path = || "/data/instance-id".into();
        let error = HotkeyLockError::Io { doing: "write", path: path(), source: kind.into() };
        assert_eq!(of(&error.into()), Exit::Configuration, "{kind}");
        let error = WalletError::Unreadable { path: path(), source: kind.into() };
        assert_eq!(of(&error.into()), Exit::Credentials, "{kind}");
    }
    let interrupted = io::Error::from(io::ErrorKind::Interrupted);
    assert_eq!(of(&anyhow::Error::new(interrupted)), Exit::Usage);
}

#[test]
fn an_error_is_what_its_gravest_known_cause_is() {
    let missing = || EnvFileError::Missing { path: "x".into() };
    assert_eq!(of(&anyhow::Error::new(missing())), Exit::Configuration);
    let wrapped = Err::<(), _>(missing()).context("while starting").unwrap_err();
    assert_eq!(of(&wrapped), Exit::Configuration);
    assert_eq!(of(&anyhow::anyhow!("no such option")), Exit::Usage);
    assert_eq!(of(&ExitError::new(Exit::Protocol, "x").into()), Exit::Protocol);
}

#[test]
fn a_command_without_file_descriptors_left_may_be_started_again() {
    let folder = folder("no-descriptors");
    // Enough to load the program's libraries one by one, and none for the runtime's queue of events.
    let script = format!("ulimit -n 5; exec {} doctor --env-file absent --no-drand", env!("CARGO_BIN_EXE_grail"));
    let mut command = std::process::Command::new("sh");
    let finished = finish(command.args(["-c", &script]).current_dir(&folder));
    assert_eq!(finished.code, Some(75), "{finished:?}");
    assert!(finished.stderr.contains("refuses more file descriptors or threads; end other processes"), "{finished:?}");
}

#[test]
fn publishing_needs_a_bucket_of_the_validators_own() {
    let folder = folder("publish");
    let text = "BT_NETWORK=custom\nBT_CHAIN_ENDPOINT=ws://127.0.0.1:9\nNETUID=81\nR2_ENDPOINT_URL=http://127.0.0.1:9\n";
    std::fs::write(folder.join(".env"), text).unwrap();
    let refused = grail(&folder, &["validate", "--publish", "--device", "cpu", "--data-dir", "data"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("R2_ACCOUNT_ID") && refused.stderr.contains("R2_WRITE"), "{refused:?}");
}
