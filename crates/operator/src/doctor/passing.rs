//! Errors of the operating system that pass: no reason to end permanently.

use std::io::{self, ErrorKind};

use grail_config::EnvFileError;
use grail_wallet::WalletError;

/// Linux's numbers for an I/O error of a device, and for a full table of file descriptors, of the system and the process.
const PASSING_NUMBERS: [i32; 3] = [5, 23, 24];

/// Returns whether retrying later may succeed although nobody changed anything here: a full disk that is tidied up,
/// a server or a device that does not answer, a port or a file that a dying process still holds.
pub fn passes(error: &io::Error) -> bool {
    let is_passing = matches!(
        error.kind(),
        ErrorKind::AddrInUse
            | ErrorKind::AddrNotAvailable
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Deadlock
            | ErrorKind::ExecutableFileBusy
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NotConnected
            | ErrorKind::OutOfMemory
            | ErrorKind::QuotaExceeded
            | ErrorKind::ResourceBusy
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::StorageFull
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
    );
    is_passing || error.raw_os_error().is_some_and(|number| PASSING_NUMBERS.contains(&number))
}

/// Returns whether the same wallet may open later.
pub fn wallet_passes(error: &WalletError) -> bool {
    match error {
        WalletError::Unreadable { source, .. } => passes(source),
        WalletError::NoMemory { .. } => true,
        _ => false,
    }
}

/// Returns whether the same file may be read later.
pub fn env_file_passes(error: &EnvFileError) -> bool {
    matches!(error, EnvFileError::Unreadable { source, .. } if passes(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_that_need_a_person_are_not_temporary() {
        // ENOSPC, EDQUOT, EIO, EMFILE, ENFILE, ESTALE, ETIMEDOUT, EADDRINUSE, ENOMEM, EAGAIN
        for number in [28, 122, 5, 24, 23, 116, 110, 98, 12, 11] {
            let error = io::Error::from_raw_os_error(number);
            assert!(passes(&error), "{error}");
        }
        // EACCES, EPERM, ENOENT, ENOTDIR, EISDIR, EROFS, EINVAL, ELOOP, ENAMETOOLONG
        for number in [13, 1, 2, 20, 21, 30, 22, 40, 36] {
            let error = io::Error::from_raw_os_error(number);
            assert!(!passes(&error), "{error}");
        }
        assert!(!passes(&io::Error::other("not UTF-8")));
    }
}
