//! Weights on the simulated chain: what was included and when, what may still be, and what must never be sent.

use std::cell::RefCell;
use std::rc::Rc;

use grail_validator::WEIGHTS_BLOCKS;
use grail_validator::answers::WeightsState;

/// A transaction can no longer be included this many blocks after it was sent.
pub(crate) const MORTALITY_BLOCKS: u64 = 32;

/// The weights of one validator on the chain; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct WeightsOnChain(Rc<RefCell<Book>>);

#[derive(Debug, Default)]
struct Book {
    included: Vec<Included>,
    /// Sent and not resolved yet: a number, and the block it was sent in.
    open: Vec<(u64, u64)>,
    sent: u64,
    violations: Vec<String>,
}

/// Weights that are in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Included {
    pub(crate) block: u64,
    /// `(uid, u16)`.
    pub(crate) weights: Vec<(u16, u16)>,
}

impl WeightsOnChain {
    /// Weights reach the chain's pool; returns their number.
    pub(crate) fn send(&self, head: u64, is_allowed: bool) -> u64 {
        let mut book = self.0.borrow_mut();
        if book.open.iter().any(|(_, sent)| head <= sent + MORTALITY_BLOCKS) {
            book.violations.push(format!("weights were sent in block {head} while earlier ones may be included"));
        }
        if !is_allowed {
            book.violations.push(format!("weights were sent in block {head}, and the subnet does not take them then"));
        }
        book.sent += 1;
        let number = book.sent;
        book.open.push((number, head));
        number
    }

    /// They will not be included.
    pub(crate) fn refuse(&self, number: u64) {
        self.0.borrow_mut().open.retain(|(open, _)| *open != number);
    }

    /// They are in a block.
    pub(crate) fn include(&self, number: u64, block: u64, weights: &[(u16, u16)]) {
        let mut book = self.0.borrow_mut();
        book.open.retain(|(open, _)| *open != number);
        let interval = block / WEIGHTS_BLOCKS;
        if let Some(before) = book.included.last().filter(|before| before.block / WEIGHTS_BLOCKS == interval) {
            let text = format!("weights were set in block {block}, and in block {} of the same interval", before.block);
            book.violations.push(text);
        }
        book.included.push(Included { block, weights: weights.to_vec() });
    }

    /// Blocks from this one on are replaced, and the weights in them with them; returns whether there were any.
    pub(crate) fn replace_from(&self, block: u64) -> bool {
        let mut book = self.0.borrow_mut();
        let before = book.included.len();
        book.included.retain(|one| one.block < block);
        book.included.len() < before
    }

    /// Returns what the chain shows.
    pub(crate) fn state(&self, uid: Option<u16>, rate_limit: u64, commit_reveal: bool) -> WeightsState {
        let last = self.last();
        let (last_update, weights) = last.map_or((0, Vec::new()), |one| (one.block, one.weights));
        WeightsState { uid, last_update, rate_limit, commit_reveal, weights }
    }

    pub(crate) fn last(&self) -> Option<Included> {
        self.0.borrow().included.last().cloned()
    }

    pub(crate) fn included(&self) -> Vec<Included> {
        self.0.borrow().included.clone()
    }

    pub(crate) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().violations)
    }
}
