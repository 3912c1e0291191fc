//! The one writer of a journal: appends, starts a new file per window, and stops at the first failure.

use grail_folder::frames::{HEADER_BYTES, PAYLOAD_BYTES_MAX, Scan, frame, scan};
use grail_miner::ports::JournalRecord;

use super::error::JournalFileError;
use super::files::{Appending, Files, Wrap};
use super::lock::Lock;
use super::read::records_in;
use super::record::KIND;
use super::{Opened, SetAside};

/// How many files of earlier windows stay, as `.1` (the newest) and so on.
const OLD_FILES_MAX: usize = 3;

/// Owns the lock and the open file.
pub(super) struct Writer {
    files: Files,
    wrap: Wrap,
    file: Box<dyn Appending>,
    /// Bytes that are known to be on the disk.
    durable_bytes: u64,
    /// First block of the window that the current file is about.
    window: Option<u64>,
    first_failure: Option<String>,
    _lock: Lock,
}

impl Writer {
    /// Locks the journal, cuts off its torn tail, and gets ready to append. A damaged journal is moved aside: it costs
    /// one window, and waiting for a person would cost more.
    ///
    /// # Errors
    /// [`JournalFileError`] if it is in use, or cannot be read or written.
    pub(super) fn open(files: Files, mut wrap: Wrap) -> Result<(Self, Opened, Option<SetAside>), JournalFileError> {
        let lock = Lock::take(&files.lock())?;
        let content = files.read(None)?;
        let understood = checked(&files, &content).and_then(|scan| Ok((scan, records_in(&files.current(), &content)?)));
        let ((Scan { payloads, whole_bytes, torn_bytes }, records), set_aside) = match understood {
            Ok(understood) => (understood, None),
            Err(error) => {
                let Some(why) = error.damage() else { return Err(error) };
                let nothing = Scan { payloads: Vec::new(), whole_bytes: 0, torn_bytes: 0 };
                ((nothing, Vec::new()), Some(SetAside { path: files.set_aside()?, why }))
            }
        };
        let file = match whole_bytes {
            0 => files.replace(&[&KIND.header()], 0, &mut wrap)?,
            _ => wrap(files.open_cut(whole_bytes as u64)?),
        };
        let writer = Self {
            window: records.iter().rev().find_map(window_of),
            durable_bytes: whole_bytes.max(HEADER_BYTES) as u64,
            first_failure: None,
            _lock: lock,
            files,
            wrap,
            file,
        };
        Ok((writer, Opened { records: payloads.len(), torn_bytes: torn_bytes as u64 }, set_aside))
    }

    /// Appends durably; `window` is set if the payload is the record of one.
    ///
    /// # Errors
    /// [`JournalFileError`]; after a failed write, every later one is [`JournalFileError::Poisoned`].
    pub(super) fn append(&mut self, window: Option<u64>, payload: &[u8]) -> Result<(), JournalFileError> {
        if let Some(first) = &self.first_failure {
            return Err(JournalFileError::Poisoned { first: first.clone() });
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(JournalFileError::TooLarge { bytes: payload.len() });
        }
        let frame = frame(payload);
        let is_another = window.is_some() && self.window.is_some() && window != self.window;
        let written = if is_another { self.begin_file(&frame) } else { self.write(&frame) };
        match written {
            Ok(()) => self.window = window.or(self.window),
            Err(ref error) => self.first_failure = Some(error.to_string()),
        }
        written
    }

    /// Returns every record that is known to be on the disk.
    ///
    /// # Errors
    /// [`JournalFileError`] if the file cannot be read, or is damaged by now.
    pub(super) fn load(&self) -> Result<Vec<JournalRecord>, JournalFileError> {
        records_in(&self.files.current(), &self.files.read(Some(self.durable_bytes))?)
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), JournalFileError> {
        let path = self.files.current();
        self.file.write_all(frame).map_err(|source| JournalFileError::io("writing", &path, source))?;
        self.file.sync().map_err(|source| JournalFileError::io("syncing", &path, source))?;
        self.durable_bytes += frame.len() as u64;
        Ok(())
    }

    fn begin_file(&mut self, frame: &[u8]) -> Result<(), JournalFileError> {
        self.file = self.files.replace(&[&KIND.header(), frame], OLD_FILES_MAX, &mut self.wrap)?;
        self.durable_bytes = (HEADER_BYTES + frame.len()) as u64;
        Ok(())
    }
}

/// Returns the window that a record starts.
pub(super) fn window_of(record: &JournalRecord) -> Option<u64> {
    match record {
        JournalRecord::Window(context) => Some(context.window_start),
        _ => None,
    }
}

fn checked(files: &Files, content: &[u8]) -> Result<Scan, JournalFileError> {
    scan(&KIND, content).map_err(|damage| JournalFileError::Damaged { path: files.current(), damage })
}
