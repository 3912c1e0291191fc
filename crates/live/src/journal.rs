//! The journal as files: append-only, checksummed, synced before an append returns, one file per window.

mod error;
mod files;
mod lock;
mod look;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use grail_miner::ports::{Journal, JournalError, JournalRecord};
use grail_protocol::signature::Hotkey;
use tokio::sync::oneshot;

pub use error::JournalFileError;
pub use grail_miner::frames::FrameDamage;
pub use look::{hotkeys, records_in, records_of};
#[doc(hidden)]
pub use record::{decode as decode_record, encode as encode_record};

use files::{Files, Wrap};
use writer::{Writer, window_of};

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// How many files of earlier windows stay, as `.1` (the newest) and so on.
    pub old_files_max: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { old_files_max: 3 }
    }
}

/// What was found when the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Records that are there.
    pub records: usize,
    /// Bytes of a record that a crash left unfinished, cut off by now.
    pub torn_bytes: u64,
}

/// The journal of one hotkey.
///
/// A window's record that names another window than the one before begins a new file; [`Journal::load`] gives the records
/// of the current file. After a write or a sync failed, every append fails: what the disk then holds is unknown until the
/// journal is opened again. Records are written by a thread of their own, in the order of the calls, so that a slow disk
/// holds up nothing else; dropping the journal waits for it.
pub struct FileJournal {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    opened: Opened,
}

enum Command {
    Append { window: Option<u64>, payload: Vec<u8>, reply: Reply<()> },
    Load { reply: Reply<Vec<JournalRecord>> },
}

type Reply<T> = oneshot::Sender<Result<T, JournalFileError>>;

impl FileJournal {
    /// Open the journal of `hotkey` in `folder`, or begin one; both are made for their owner alone.
    ///
    /// # Errors
    /// [`JournalFileError`] if another process writes it, if it is damaged before its tail, or cannot be read or written.
    pub fn open(folder: &Path, hotkey: Hotkey, options: JournalOptions) -> Result<Self, JournalFileError> {
        Self::open_through(folder, hotkey, options, Box::new(|file| Box::new(file)))
    }

    fn open_through(
        folder: &Path,
        hotkey: Hotkey,
        options: JournalOptions,
        wrap: Wrap,
    ) -> Result<Self, JournalFileError> {
        let files = Files::new(folder, &hotkey.to_ss58())?;
        let (writer, opened) = Writer::open(files, options, wrap)?;
        let (commands, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || serve(writer, &inbox));
        let thread = thread.map_err(|source| JournalFileError::io("starting the thread for", folder, source))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), opened })
    }

    /// What was found when the journal was opened.
    pub const fn opened(&self) -> Opened {
        self.opened
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
        let payload = record::encode(record).map_err(|error| told(JournalFileError::Encoding(error)))?;
        let window = window_of(record);
        self.ask(|reply| Command::Append { window, payload, reply }).await.map_err(told)
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.ask(|reply| Command::Load { reply }).await.map_err(told)
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has let go of the lock as well.
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
        // Whoever asked may have given up by now.
        match command {
            Command::Append { window, payload, reply } => drop(reply.send(writer.append(window, &payload))),
            Command::Load { reply } => drop(reply.send(writer.load())),
        }
    }
}

fn told(error: JournalFileError) -> JournalError {
    JournalError(error.to_string())
}
