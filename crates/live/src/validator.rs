//! Adapters that only a validator needs: miners' buckets, a model on a thread, and its journal.

mod buckets;
mod journal;
mod judge;

pub use buckets::{MinersBuckets, ReadFrom};
pub use journal::{ValidatorJournal, ValidatorJournalError};
pub use judge::JudgeThread;
