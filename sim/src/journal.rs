//! A journal in memory; what it holds outlives the miner that wrote it.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Journal, JournalError, JournalRecord};

/// Keeps the records of the last window context; older ones can never matter again.
#[derive(Clone, Default)]
pub struct MemoryJournal(Rc<RefCell<Vec<JournalRecord>>>);

impl MemoryJournal {
    /// Hold this record, too.
    pub fn hold(&self, record: &JournalRecord) {
        let mut records = self.0.borrow_mut();
        if matches!(record, JournalRecord::Window(_)) {
            records.clear();
        }
        records.push(record.clone());
    }
}

#[async_trait(?Send)]
impl Journal for MemoryJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.hold(record);
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        Ok(self.0.borrow().clone())
    }
}
