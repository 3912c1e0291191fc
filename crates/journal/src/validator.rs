//! The validator's journal: one file of checksummed records, synced before an append returns.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use async_trait::async_trait;
use grail_folder as folder;
use grail_folder::frames::{FileKind, FrameDamage, frame, scan};
use grail_protocol::signature::Hotkey;
use grail_validator::ports::{Journal, JournalError};
use grail_validator::{JournalRecord, kept};
use tokio::sync::oneshot;

use super::files::remove;

const KIND: FileKind = FileKind { magic: *b"GRAILVAL", version: 1 };
/// Twelve windows of 35 receipts take less than a megabyte.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorJournalError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] folder::FolderError),
    /// Another process writes it.
    #[error("{0} is in use by another validator of this hotkey; stop it, or give --data-dir another folder")]
    InUse(PathBuf),
    /// A file cannot be read or written.
    #[error("the validator's journal {path} cannot be used ({source}); free the disk, or fix the permissions")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The journal of one validator. It is made shorter whenever it is opened; one that is damaged before its last record is
/// moved aside.
pub struct ValidatorJournal {
    records: Vec<JournalRecord>,
    appends: mpsc::Sender<Append>,
    set_aside: Option<PathBuf>,
}

struct Append {
    payload: Vec<u8>,
    reply: oneshot::Sender<io::Result<()>>,
}

impl ValidatorJournal {
    /// Opens the journal of a hotkey, or starts one, and locks it.
    ///
    /// # Errors
    /// [`ValidatorJournalError`], with the remedy.
    pub fn open(data_folder: &Path, hotkey: Hotkey) -> Result<Self, ValidatorJournalError> {
        folder::claim(data_folder)?;
        let path = data_folder.join(format!("{}.validator", hotkey.to_ss58()));
        let failed = |source| ValidatorJournalError::File { path: path.clone(), source };
        let lock = folder::open(&path.with_extension("validator-lock"), folder::options().write(true).create(true));
        let lock = lock.map_err(failed)?;
        match fs4::FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => return Err(ValidatorJournalError::InUse(path)),
            Err(fs4::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let content = match folder::read_at_most(&path, FILE_BYTES_MAX) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let (records, set_aside) = match records(&content) {
            Ok(records) => (records, None),
            Err(_) => {
                let aside = path.with_extension("validator-damaged");
                std::fs::rename(&path, &aside).map_err(failed)?;
                (Vec::new(), Some(aside))
            }
        };
        let records = kept(&records);
        let file = rewritten(&path, &records).map_err(failed)?;
        let (appends, inbox) = mpsc::channel();
        let write = move || {
            append(file, &inbox);
            // Held until the last write.
            drop(lock);
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(write).map_err(failed)?;
        Ok(Self { records, appends, set_aside })
    }

    /// Returns the new path of a damaged journal.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }
}

#[async_trait(?Send)]
impl Journal for ValidatorJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        let ended = || JournalError("its thread has ended".to_owned());
        let payload = rmp_serde::to_vec(record).map_err(|error| JournalError(error.to_string()))?;
        let (reply, answer) = oneshot::channel();
        self.appends.send(Append { payload, reply }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?.map_err(|error| JournalError(error.to_string()))
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        Ok(self.records.clone())
    }
}

/// Returns the records of a file; a torn tail is left out.
fn records(content: &[u8]) -> Result<Vec<JournalRecord>, FrameDamage> {
    let scan = scan(&KIND, content)?;
    let read = |at: std::ops::Range<usize>| {
        let offset = at.start;
        rmp_serde::from_slice(&content[at]).map_err(|_| FrameDamage::Record { offset })
    };
    scan.payloads.into_iter().map(read).collect()
}

/// Returns a new file of these records in the place of the old one, at once or not at all.
fn rewritten(path: &Path, records: &[JournalRecord]) -> io::Result<File> {
    let new = path.with_extension("validator-new");
    remove(&new)?;
    let mut content = KIND.header().to_vec();
    for record in records {
        content.extend(frame(&rmp_serde::to_vec(record).map_err(io::Error::other)?));
    }
    let mut file = folder::open(&new, folder::options().append(true).create_new(true))?;
    file.write_all(&content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// Writes records in the order in which they come; after a failure it writes nothing, since nobody knows what the disk
/// holds then.
fn append(mut file: File, inbox: &mpsc::Receiver<Append>) {
    let mut failure: Option<String> = None;
    for Append { payload, reply } in inbox {
        let written = match &failure {
            Some(first) => Err(io::Error::other(format!("an earlier write failed: {first}"))),
            None => file.write_all(&frame(&payload)).and_then(|()| file.sync_data()),
        };
        if let Err(error) = &written {
            failure.get_or_insert_with(|| error.to_string());
        }
        // The caller may be gone.
        let _ = reply.send(written);
    }
}
