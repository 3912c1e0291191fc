//! Why a journal cannot be opened or written.

use std::io;
use std::path::{Path, PathBuf};

use grail_folder::FolderError;
use grail_folder::frames::FrameDamage;

/// Verb in errors about reading a file.
pub(super) const READING: &str = "reading";

/// Why a journal cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// Another process writes this journal.
    #[error("{path} is in use by {holder}; stop it first, because only one process may mine with a hotkey")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// Other users have access to the folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no room left.
    #[error("the disk that holds {path} is full; free some space and start again")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{doing} {path} failed ({source}); check the disk and the folder's permissions, then restart")]
    Io {
        /// The operation.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is damaged.
    #[error(
        "{path} cannot be trusted: {damage}; the miner's next start moves it aside and starts again, which loses the \
         groups of the window in it"
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The problem.
        damage: FrameDamage,
    },
    /// A record is complete, but cannot be decoded.
    #[error(
        "record {number} of {path} cannot be read ({source}); the miner's next start moves the file away and starts \
         a new one"
    )]
    Unreadable {
        /// The journal.
        path: PathBuf,
        /// Its place, from 1.
        number: usize,
        /// Why it cannot be read.
        source: postcard::Error,
    },
    /// It is longer, or takes more memory, than a window's records.
    #[error("{path} is not the journal of a window: {why}; the miner's next start moves it away and starts a new one")]
    TooLong {
        /// The journal.
        path: PathBuf,
        /// The exceeded limit.
        why: String,
    },
    /// A record that cannot be stored.
    #[error("a record of {bytes} bytes is too large for the journal; this is a defect, please report it")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A record that cannot be encoded.
    #[error("a record cannot be encoded ({0}); this is a defect, please report it")]
    Encoding(#[source] postcard::Error),
    /// An earlier write failed. What reached the disk is then unknown, and a later success would prove nothing.
    #[error("an earlier write failed: {first}")]
    Poisoned {
        /// The first failure.
        first: String,
    },
    /// The thread that writes is gone.
    #[error("the journal's thread has ended; start again")]
    Ended,
}

impl JournalFileError {
    /// Returns the damage of the file's content, if that is the cause.
    pub(super) fn damage(&self) -> Option<String> {
        match self {
            Self::Damaged { damage, .. } => Some(damage.to_string()),
            Self::Unreadable { number, source, .. } => Some(format!("its record {number} cannot be read ({source})")),
            Self::TooLong { why, .. } => Some(why.clone()),
            _ => None,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::FileTooLarge if doing == READING => Self::TooLong { path, why: source.to_string() },
            _ => Self::Io { doing, path, source },
        }
    }
}
