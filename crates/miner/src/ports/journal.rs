//! The journal: what survives a crash.

use async_trait::async_trait;
use grail_protocol::rollout::{Rollout, WindowContext};

/// One durable fact.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalRecord {
    /// Work on a window began under this context; groups of another context are worthless from here on.
    Window(WindowContext),
    /// A group is signed, checked and may be uploaded.
    Group {
        /// First block of the window.
        window_start: u64,
        /// The group's rollouts; their `rollout_group` is its index.
        rollouts: Vec<Rollout>,
    },
    /// A file of this digest is about to be uploaded.
    UploadStarted {
        /// First block of the window.
        window_start: u64,
        /// sha256 of the file in hex.
        digest: String,
    },
    /// The file of this digest was read back with the read key.
    UploadDone {
        /// First block of the window.
        window_start: u64,
        /// sha256 of the file in hex.
        digest: String,
    },
}

/// An append-only record.
///
/// # Contract
/// What `append` returned `Ok` for is given by every later `load`, in order, also after a crash. `load` gives a prefix of
/// what was appended.
#[async_trait(?Send)]
pub trait Journal {
    /// Append durably.
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError>;
    /// Everything appended so far.
    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError>;
}

/// Why the journal does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be used ({0}); mining goes on in memory, and a crash now loses the window: free the disk")]
pub struct JournalError(pub String);
