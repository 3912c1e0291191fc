//! The journal: records that survive a crash.

use async_trait::async_trait;

use crate::answers::{JournalError, JournalRecord};

/// An append-only record.
///
/// # Contract
/// Every later `load` returns the records for which `append` returned `Ok`, in order, also after a crash. `load`
/// returns a prefix of the appended records.
#[async_trait(?Send)]
pub trait Journal {
    /// Appends durably.
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError>;
    /// Returns everything appended so far.
    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError>;
}
