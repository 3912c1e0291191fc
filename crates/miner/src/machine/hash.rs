//! The hash of a window's first block: read, read again while the block may still be replaced, and final afterwards.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::receipt::Area;
use crate::answers::ChainError;

/// State of the first block's hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hash {
    block: u64,
    known: Option<String>,
    is_being_read: bool,
    /// Whether it was read when the block was too deep to be replaced.
    is_final: bool,
}

/// Result of reading the hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HashAnswer {
    /// It was not known before.
    First(String),
    /// It is still the same.
    Same,
    /// The block was replaced.
    Replaced(String),
    /// It could not be read, for this reason.
    Unreadable(String),
}

impl Hash {
    pub(super) const fn new(block: u64) -> Self {
        Self { block, known: None, is_being_read: false, is_final: false }
    }

    pub(super) fn known(&self) -> Option<&str> {
        self.known.as_deref()
    }

    pub(super) const fn is_final(&self) -> bool {
        self.is_final
    }

    /// Asks for the hash, unless a reading is under way.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) {
        // One question at a time: public nodes answer about one a second.
        if !self.is_being_read {
            self.is_being_read = true;
            cx.push(Action::ReadBlockHash(self.block));
        }
    }

    /// Reads the hash again with each new head, as long as the block may still be replaced.
    pub(super) fn on_head(&mut self, cx: &mut Context<'_>, head: u64) {
        if !self.is_final && head >= self.block {
            self.read(cx);
        }
    }

    pub(super) fn on_read(&mut self, cx: &mut Context<'_>, result: Result<Option<String>, ChainError>) -> HashAnswer {
        self.is_being_read = false;
        match result {
            Ok(Some(hash)) if self.known.as_ref() == Some(&hash) => {
                // Only a reading at that depth counts. One from before may be of a block that was replaced since.
                self.is_final |= cx.head() >= self.block.saturating_add(cx.settings.reorganisation_blocks_max);
                HashAnswer::Same
            }
            Ok(Some(hash)) => {
                // The new hash must be read again at a depth at which nothing replaces it.
                self.is_final = false;
                match self.known.replace(hash.clone()) {
                    Some(_) => HashAnswer::Replaced(hash),
                    None => HashAnswer::First(hash),
                }
            }
            // A node that is behind has no hash for blocks above its own head. That is no sign of a replaced block.
            Ok(None) => HashAnswer::Unreadable("the chain endpoint does not know the block".to_owned()),
            Err(error) => {
                let why = error.to_string();
                cx.trouble(Area::Chain, error);
                HashAnswer::Unreadable(why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, kinds};
    use super::*;

    const BLOCK: u64 = 300;

    fn answer(hash: &mut Hash, head: u64, found: &str) -> HashAnswer {
        let mut answer = None;
        Bench::at(head).run(|cx| answer = Some(hash.on_read(cx, Ok(Some(found.to_owned())))));
        answer.unwrap()
    }

    #[test]
    fn it_is_read_with_every_head_until_the_block_cannot_be_replaced() {
        let mut hash = Hash::new(BLOCK);
        let depth = Bench::at(BLOCK).settings.reorganisation_blocks_max;
        assert_eq!(answer(&mut hash, BLOCK, "0xaa"), HashAnswer::First("0xaa".to_owned()));
        for head in BLOCK..BLOCK + depth {
            assert_eq!(Bench::at(head).run(|cx| hash.on_head(cx, head)), [Action::ReadBlockHash(BLOCK)], "{head}");
            assert_eq!(answer(&mut hash, head, "0xaa"), HashAnswer::Same);
            assert!(!hash.is_final());
        }
        assert_eq!(answer(&mut hash, BLOCK + depth, "0xaa"), HashAnswer::Same);
        assert!(hash.is_final());
        assert_eq!(Bench::at(BLOCK + depth).run(|cx| hash.on_head(cx, BLOCK + depth)), []);
    }

    #[test]
    fn another_hash_is_a_replacement_and_not_final_however_deep_the_block_is() {
        let mut hash = Hash::new(BLOCK);
        answer(&mut hash, BLOCK + 20, "0xaa");
        assert_eq!(answer(&mut hash, BLOCK + 20, "0xbb"), HashAnswer::Replaced("0xbb".to_owned()));
        assert!(!hash.is_final());
        assert_eq!(hash.known(), Some("0xbb"));
    }

    #[test]
    fn one_reading_is_under_way_at_a_time_and_a_failure_keeps_what_is_known() {
        let mut hash = Hash::new(BLOCK);
        let mut bench = Bench::at(BLOCK);
        assert_eq!(kinds(&bench.run(|cx| hash.read(cx))), ["ReadBlockHash"]);
        assert_eq!(bench.run(|cx| hash.read(cx)), []);
        answer(&mut hash, BLOCK, "0xaa");
        let gone = ChainError::Unreachable("gone".to_owned());
        let reported = bench.run(|cx| assert!(matches!(hash.on_read(cx, Err(gone)), HashAnswer::Unreadable(_))));
        assert_eq!((kinds(&reported), hash.known()), (vec!["Report".to_owned()], Some("0xaa")));
        bench.run(|cx| assert!(matches!(hash.on_read(cx, Ok(None)), HashAnswer::Unreadable(_))));
        assert_eq!(hash.known(), Some("0xaa"));
    }

    #[test]
    fn a_block_that_is_not_there_yet_is_not_asked_for() {
        let mut hash = Hash::new(BLOCK);
        assert_eq!(Bench::at(BLOCK - 1).run(|cx| hash.on_head(cx, BLOCK - 1)), []);
    }

    #[test]
    fn a_final_hash_can_be_read_again() {
        let mut hash = Hash::new(BLOCK);
        answer(&mut hash, BLOCK + 20, "0xaa");
        answer(&mut hash, BLOCK + 20, "0xaa");
        Bench::at(BLOCK).run(|cx| hash.read(cx));
        assert_eq!((hash.known(), hash.is_being_read, hash.is_final()), (Some("0xaa"), true, true));
    }
}
