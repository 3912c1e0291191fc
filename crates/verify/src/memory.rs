//! Memory of facts that were verified once and need no second verification.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use grail_protocol::generation::Tokenizer;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::signature::{Hotkey, SignatureClaim};

use crate::facts::WindowFacts;

/// Signatures that hold, and the canonical problems of a window, under one tokenizer.
///
/// A caller that reads the same files several times passes the same memory each time; verdicts do not depend on it.
#[derive(Debug, Default)]
pub struct Memory {
    holding: RefCell<BTreeSet<SignatureClaim>>,
    addresses: RefCell<BTreeMap<String, Option<Hotkey>>>,
    /// By the miner's address, the block's hash and the group's index.
    canonical: RefCell<BTreeMap<(String, String, u32), Rc<Canonical>>>,
}

/// The canonical problem of a position in the file, and its prompt in tokens.
#[derive(Debug)]
pub(crate) struct Canonical {
    pub(crate) problem: Problem,
    pub(crate) prompt: Vec<u32>,
}

impl Memory {
    /// Forgets everything; facts of another window are never needed again.
    pub fn forget(&self) {
        self.holding.borrow_mut().clear();
        self.addresses.borrow_mut().clear();
        self.canonical.borrow_mut().clear();
    }

    /// Returns the key of an address.
    pub(crate) fn hotkey(&self, address: &str) -> Option<Hotkey> {
        let read = || Hotkey::from_ss58(address).ok();
        *self.addresses.borrow_mut().entry(address.to_owned()).or_insert_with(read)
    }

    /// Returns whether a signature is known to hold.
    pub(crate) fn knows(&self, claim: &SignatureClaim) -> bool {
        self.holding.borrow().contains(claim)
    }

    /// Returns whether a signature holds, by itself.
    pub(crate) fn holds(&self, claim: SignatureClaim) -> bool {
        let holds = self.knows(&claim) || claim.holds();
        if holds {
            self.holding.borrow_mut().insert(claim);
        }
        holds
    }

    /// Verifies many signatures at once; if one does not hold, none counts as verified.
    pub(crate) fn learn(&self, claims: Vec<SignatureClaim>) {
        let all: Vec<&SignatureClaim> = claims.iter().collect();
        if SignatureClaim::all_hold(&all) {
            self.holding.borrow_mut().extend(claims);
        }
    }

    /// Returns the canonical problem at a position of this window's file.
    pub(crate) fn canonical(&self, facts: &WindowFacts, index: u32, tokenizer: &dyn Tokenizer) -> Rc<Canonical> {
        let key = (facts.hotkey.clone(), facts.block_hash.clone(), index);
        let computed = || {
            let problem = Problem::canonical(&facts.hotkey, &facts.block_hash, index);
            let prompt = tokenizer.encode(&prompt(&problem));
            Rc::new(Canonical { problem, prompt })
        };
        self.canonical.borrow_mut().entry(key).or_insert_with(computed).clone()
    }
}
