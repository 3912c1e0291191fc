//! The trace: every event and action of a run in order, folded into one rolling hash.

use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::rc::Rc;

/// Lines of a run, hashed as they come.
#[derive(Clone, Default)]
pub struct Trace(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    hash: Sha256,
    violations: Vec<String>,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// Creates a trace that also keeps its lines.
    pub fn keeping_lines() -> Self {
        let trace = Self::default();
        trace.0.borrow_mut().kept = Some(Vec::new());
        trace
    }

    /// Folds one line in.
    pub fn line(&self, at_ms: u64, kind: &str, text: &str) {
        let inner = &mut *self.0.borrow_mut();
        let line = format!("{at_ms} {kind} {text}\n");
        inner.hash.update(&line);
        if let Some(kept) = &mut inner.kept {
            kept.push(line);
        }
    }

    /// Returns the hash over all lines so far, in hex.
    pub fn hash(&self) -> String {
        hex::encode(self.0.borrow().hash.clone().finalize())
    }

    /// Returns the lines, if they are kept.
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().kept.clone().unwrap_or_default()
    }

    /// Keeps a line without folding it in.
    pub fn aside(&self, at_ms: u64, text: &str) {
        if let Some(kept) = &mut self.0.borrow_mut().kept {
            kept.push(format!("{at_ms} {text}\n"));
        }
    }

    /// Folds in a violation.
    pub fn violation(&self, at_ms: u64, text: &str) {
        self.line(at_ms, "violation", text);
        self.0.borrow_mut().violations.push(text.to_owned());
    }

    /// Returns the violations so far.
    pub fn violations(&self) -> Vec<String> {
        self.0.borrow().violations.clone()
    }
}
