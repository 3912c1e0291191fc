//! The journals of miner and validator as files: append-only, checksummed, synced before an append returns.
//!
//! [`FileJournal`] is the miner's, one file per window; [`ValidatorJournal`] is the validator's. This crate may touch the
//! files of the data folder and nothing else: no network, no clock, no configuration.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: files may enter here"
)]

mod error;
mod files;
mod lock;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod validator;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use grail_miner::ports::{Journal, JournalError, JournalRecord};
use grail_protocol::signature::Hotkey;
use tokio::sync::oneshot;

pub use error::JournalFileError;
pub use grail_folder::frames::FrameDamage;
pub use read::{hotkeys, records_in, records_of};
#[doc(hidden)]
pub use record::{decode as decode_record, encode as encode_record};
pub use validator::{ValidatorJournal, ValidatorJournalError};

use files::{Files, Wrap};
use writer::{Writer, window_of};

/// State of the journal when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Records that are there.
    pub records: usize,
    /// Bytes of an incomplete record, left by a crash and cut off when the journal was opened.
    pub torn_bytes: u64,
}

/// A damaged journal, which was moved away when a new one started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its new path.
    pub path: PathBuf,
    /// The problem.
    pub why: String,
}

/// The journal of one hotkey.
///
/// A window's record that names another window than the one before starts a new file; [`Journal::load`] gives the
/// records of the current file. After a write or a sync failed, every append fails: what the disk then holds is unknown
/// until the journal is opened again. Records are written by their own thread, in the order of the calls, so that a
/// slow disk holds up nothing else; dropping the journal waits for it.
pub struct FileJournal {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    opened: Opened,
    set_aside: Option<SetAside>,
}

enum Command {
    Append { window: Option<u64>, payload: Vec<u8>, reply: Reply<()> },
    Load { reply: Reply<Vec<JournalRecord>> },
}

type Reply<T> = oneshot::Sender<Result<T, JournalFileError>>;

impl FileJournal {
    /// Opens the journal of `hotkey` in `folder`, or creates it; both are private to their owner. A journal that is
    /// damaged before its tail is moved aside, and another one started.
    ///
    /// # Errors
    /// [`JournalFileError`] if another process writes it, or if it cannot be read or written.
    pub fn open(folder: &Path, hotkey: Hotkey) -> Result<Self, JournalFileError> {
        Self::open_through(folder, hotkey, Box::new(|file| Box::new(file)))
    }

    fn open_through(folder: &Path, hotkey: Hotkey, wrap: Wrap) -> Result<Self, JournalFileError> {
        let files = Files::new(folder, &hotkey.to_ss58())?;
        let (writer, opened, set_aside) = Writer::open(files, wrap)?;
        let (commands, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || serve(writer, &inbox));
        let thread = thread.map_err(|source| JournalFileError::io("starting the thread for", folder, source))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), opened, set_aside })
    }

    /// Returns the state of the journal when it was opened.
    pub const fn opened(&self) -> Opened {
        self.opened
    }

    /// Returns the damaged journal that was moved away, if there was one.
    pub const fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, JournalFileError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(JournalFileError::Ended)?;
        commands.send(command(reply)).map_err(|_| JournalFileError::Ended)?;
        answer.await.map_err(|_| JournalFileError::Ended)?
    }
}

#[async_trait(?Send)]
impl Journal for FileJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        let payload = record::encode(record).map_err(|error| port_error(JournalFileError::Encoding(error)))?;
        let window = window_of(record);
        self.ask(|reply| Command::Append { window, payload, reply }).await.map_err(port_error)
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.ask(|reply| Command::Load { reply }).await.map_err(port_error)
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panicked thread has released the lock.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJournal").field("opened", &self.opened).finish_non_exhaustive()
    }
}

fn serve(mut writer: Writer, inbox: &mpsc::Receiver<Command>) {
    for command in inbox {
        // The caller may be gone.
        match command {
            Command::Append { window, payload, reply } => drop(reply.send(writer.append(window, &payload))),
            Command::Load { reply } => drop(reply.send(writer.load())),
        }
    }
}

fn port_error(error: JournalFileError) -> JournalError {
    JournalError(error.to_string())
}
