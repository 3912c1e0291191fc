//! The journal: what survives a crash.

use async_trait::async_trait;

use crate::answers::{JournalError, JournalRecord};

/// An append-only record.
///
/// # Contract
/// What `append` returned `Ok` for is given by every later `load`, in order, also after a crash. `load` gives a prefix of
/// what was appended.
#[async_trait(?Send)]
pub trait Journal {
    /// Appends durably.
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError>;
    /// Returns everything appended so far.
    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError>;
}
