//! The hash of a window's first block: read, read again while the block may still be replaced, and final afterwards.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::receipt::Area;
use super::view::View;
use crate::answers::ChainError;

/// What is known of the first block's hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hash {
    block: u64,
    known: Option<String>,
    is_being_read: bool,
    /// Whether it was read when the block was too deep to be replaced.
    is_final: bool,
}

/// What a reading of the hash tells.
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
                self.is_final |= cx.head() >= self.block.saturating_add(cx.settings.reorganisation_blocks_max);
                HashAnswer::Same
            }
            Ok(Some(hash)) => {
                self.is_final = false;
                match self.known.replace(hash.clone()) {
                    Some(_) => HashAnswer::Replaced(hash),
                    None => HashAnswer::First(hash),
                }
            }
            Ok(None) => HashAnswer::Unreadable("the chain endpoint does not know the block".to_owned()),
            Err(error) => {
                let why = error.to_string();
                cx.trouble(Area::Chain, error);
                HashAnswer::Unreadable(why)
            }
        }
    }

    pub(super) fn describe(&self, view: &mut View) {
        let Self { block: _, known, is_being_read, is_final } = self;
        view.line_if_some("window.hash", known.as_ref());
        view.line("window.hash_being_read", is_being_read);
        view.line("window.hash_final", is_final);
    }
}
