//! One miner of a window, from the first read of its bucket to its receipt.

use serde::{Deserialize, Serialize};

use crate::answers::{Neuron, ObjectFacts, StoreError};
use crate::context::Context;
use crate::memory::JournalRecord;
use crate::receipt::{MinerReceipt, Outcome};

/// A miner, and how far the validator is with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) uid: u16,
    pub(crate) committed: Vec<u8>,
    pub(crate) step: Step,
    pub(crate) object: Option<ObjectFacts>,
    pub(crate) receipt: Option<MinerReceipt>,
    pub(crate) fingerprints: Vec<u64>,
    /// How often its file was asked for.
    pub(crate) fetches: u32,
    /// How often the validator failed to judge its file.
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    #[default]
    Look,
    Looking,
    LookAgain,
    Active,
    Fetch,
    Fetching,
    FetchAgain,
    Fetched,
    Judging,
    /// The receipt is being journaled under this number.
    Journaling(u64),
    Done,
}

impl Candidate {
    pub(crate) fn new(neuron: &Neuron, step: Step) -> Self {
        let committed = neuron.committed.clone().unwrap_or_default();
        Self { uid: neuron.uid, committed, step, ..Self::default() }
    }

    /// Ends it without a record, because it was not selected.
    pub(crate) fn settle(&mut self, receipt: MinerReceipt) {
        self.receipt = Some(receipt);
        self.step = Step::Done;
    }

    /// Ends it once its receipt is in the journal.
    pub(crate) fn journal(&mut self, receipt: MinerReceipt, cx: &mut Context<'_>) {
        self.receipt = Some(receipt.clone());
        self.step = Step::Journaling(cx.journal(JournalRecord::Judged(Box::new(receipt))));
    }
}

/// Returns the receipt of a miner whose bucket cannot be read.
pub(crate) fn unreachable(start: u64, hotkey: &str, uid: u16, error: &StoreError) -> MinerReceipt {
    let receipt = MinerReceipt::new(start, hotkey, uid, Outcome::Unreachable);
    receipt.because(error).with_remedy("let the committed read key read the bucket at any time")
}

/// Returns the receipt of a miner whose bucket is not known.
pub(crate) fn not_committed(start: u64, neuron: &Neuron) -> MinerReceipt {
    let why = if neuron.committed.is_some() { "what it has committed is not a read key" } else { "no commitment" };
    let receipt = MinerReceipt::new(start, &neuron.hotkey, neuron.uid, Outcome::NotCommitted);
    receipt.because(why).with_remedy("commit the bucket's read key with `grail mine`")
}
