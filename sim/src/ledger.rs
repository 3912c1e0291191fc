//! An oracle over the journal, from outside the machine: what was signed was journaled first, one file is on its way at
//! a time, every file ends in exactly one fate, and the bucket holds the file that the journal calls done.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::machine::{WindowOutcome, WindowReceipt};
use grail_miner::ports::{Journal, JournalError, JournalRecord};
use grail_protocol::rollout::WindowContext;

/// All records of one hotkey's journal, across restarts.
#[derive(Debug, Clone, Default)]
pub struct Audit(Rc<RefCell<AuditState>>);

/// A contradiction between journal, bucket and receipts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ledger: {0}")]
pub struct Violation(String);

#[derive(Debug, Default)]
struct AuditState {
    windows: BTreeMap<u64, Window>,
    violations: Vec<Violation>,
    /// A record was lost that the miner could not keep; from then on the miner is not blamed.
    is_forgiven: bool,
}

#[derive(Debug, Default)]
struct Window {
    context: Option<WindowContext>,
    /// Indices of the groups under it.
    groups: BTreeSet<u32>,
    /// Digests in the order in which they were started, with their fate.
    files: Vec<(String, Fate)>,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    Done,
    Abandoned,
}

impl Audit {
    /// Takes note of a record that is durable.
    pub fn note(&self, record: &JournalRecord) {
        let mut facts = self.0.borrow_mut();
        if facts.is_forgiven {
            return;
        }
        if let Err(violation) = facts.note(record) {
            facts.violations.push(violation);
        }
    }

    /// A crash lost records that a full disk had not kept: the audit ends here.
    pub fn forgive(&self) {
        self.0.borrow_mut().is_forgiven = true;
    }

    /// Forgets windows before this one: nothing more is journaled of them.
    pub fn forget_before(&self, window_start: u64) {
        let windows = &mut self.0.borrow_mut().windows;
        *windows = windows.split_off(&window_start);
    }

    /// Returns the violations so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().violations.clone()
    }

    /// Compares a window with its object's digest and the receipts that were given for it. Only a process that is not
    /// running may have left a file pending.
    ///
    /// # Errors
    /// The contradiction.
    pub fn settle(&self, window_start: u64, object: Option<&str>, receipts: &[WindowReceipt]) -> Result<(), Violation> {
        let facts = self.0.borrow();
        if facts.is_forgiven {
            return Ok(());
        }
        let none = Window::default();
        let window = facts.windows.get(&window_start).unwrap_or(&none);
        let newest = |fate| window.files.iter().rfind(|(_, other)| *other == fate).map(|(digest, _)| digest.as_str());
        let (done, pending) = (newest(Fate::Done), newest(Fate::Pending));
        let is_explained = object == done || pending.is_some() && object == pending;
        if !is_explained {
            return violated(format!(
                "window {window_start}: the bucket holds {object:?}, the journal says {:?}",
                window.files
            ));
        }
        match receipts {
            [] => Ok(()),
            [receipt] if receipt.outcome == WindowOutcome::Uploaded && receipt.digest.as_deref() != done => {
                violated(format!("window {window_start}: a receipt for {:?}, and done is {done:?}", receipt.digest))
            }
            [receipt] if receipt.outcome != WindowOutcome::Uploaded && done.is_some() => {
                violated(format!("window {window_start}: {:?}, and {done:?} is done", receipt.outcome))
            }
            [_] => Ok(()),
            _ => violated(format!("window {window_start}: {} receipts", receipts.len())),
        }
    }
}

impl AuditState {
    fn note(&mut self, record: &JournalRecord) -> Result<(), Violation> {
        match record {
            JournalRecord::Window(context) => {
                let window = self.windows.entry(context.window_start).or_default();
                if window.context.as_ref() != Some(context) {
                    window.groups.clear();
                    window.context = Some(context.clone());
                }
            }
            JournalRecord::Group { window_start, rollouts } => {
                let window = self.window(*window_start)?;
                window.groups.extend(rollouts.iter().map(|rollout| rollout.rollout_group));
            }
            JournalRecord::UploadStarted { window_start, digest, groups } => {
                let window = self.window(*window_start)?;
                if window.closed {
                    return violated(format!("{digest} was started after window {window_start} was closed"));
                }
                if let Some((pending, _)) = window.files.iter().find(|(_, fate)| *fate == Fate::Pending) {
                    return violated(format!("{digest} was started while {pending} was pending"));
                }
                if let Some(index) = (0..*groups as u32).find(|index| !window.groups.contains(index)) {
                    return violated(format!("{digest} holds group {index}, which was not journaled"));
                }
                window.files.push((digest.clone(), Fate::Pending));
            }
            JournalRecord::UploadDone { window_start, digest } => self.end(*window_start, digest, Fate::Done)?,
            JournalRecord::UploadAbandoned { window_start, digest, why } => {
                if why.is_empty() {
                    return violated(format!("{digest} was abandoned without a reason"));
                }
                self.end(*window_start, digest, Fate::Abandoned)?;
            }
            JournalRecord::WindowClosed { window_start } => {
                // A window whose first block was never read has no record, and a receipt anyway.
                let window = self.windows.entry(*window_start).or_default();
                if std::mem::replace(&mut window.closed, true) {
                    return violated(format!("window {window_start} was closed twice"));
                }
            }
        }
        Ok(())
    }

    fn window(&mut self, window_start: u64) -> Result<&mut Window, Violation> {
        self.windows
            .get_mut(&window_start)
            .ok_or_else(|| Violation(format!("no record says that window {window_start} started")))
    }

    fn end(&mut self, window_start: u64, digest: &str, fate: Fate) -> Result<(), Violation> {
        let window = self.window(window_start)?;
        let file = window.files.iter_mut().find(|(begun, _)| begun == digest);
        let (_, old) = file.ok_or_else(|| Violation(format!("{digest} ended without a beginning")))?;
        if *old == fate {
            return violated(format!("{digest} ended twice"));
        }
        *old = fate;
        Ok(())
    }
}

fn violated<T>(what: String) -> Result<T, Violation> {
    Err(Violation(what))
}

/// A journal whose every durable record is audited.
pub struct AuditedJournal<J> {
    /// The journal.
    pub journal: J,
    /// Who listens.
    pub audit: Audit,
}

#[async_trait(?Send)]
impl<J: Journal> Journal for AuditedJournal<J> {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.journal.append(record).await?;
        self.audit.note(record);
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.journal.load().await
    }
}
