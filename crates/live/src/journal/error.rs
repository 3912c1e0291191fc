//! Why a journal cannot be opened or written.

use std::io;
use std::path::{Path, PathBuf};

use grail_miner::frames::FrameDamage;

/// Why a journal cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// Another process writes this journal.
    #[error("{} is in use by {holder}; stop it first, as one hotkey is mined by one process", .path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// There is no room left.
    #[error("the disk that holds {} is full; free some space and start again", .path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{doing} {} failed ({source}); see to the disk and to the folder's permissions, then start again", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is not what was written once.
    #[error(
        "{} cannot be trusted: {damage}; move it away to begin anew, which loses the groups of the window in it",
        .path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        damage: FrameDamage,
    },
    /// A record is whole, but not one of ours.
    #[error("record {number} of {} cannot be read ({source}); move the file away to begin anew", .path.display())]
    Unreadable {
        /// The journal.
        path: PathBuf,
        /// Its place, from 1.
        number: usize,
        /// Why it cannot be read.
        source: postcard::Error,
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
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { doing, path, source },
        }
    }
}
