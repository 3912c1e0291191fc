//! One writer per journal, across processes.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::JournalFileError;
use grail_folder as folder;

/// Held as long as this lives; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Releases the lock itself: a process that is being started holds copies of all files for a moment, and with them a lock
    /// that is only closed.
    fn drop(&mut self) {
        let _ = fs4::FileExt::unlock(&self.file);
    }
}

impl Lock {
    /// Takes the lock at once or not at all.
    ///
    /// # Errors
    /// [`JournalFileError::Locked`] if someone has it, and what the operating system refuses.
    pub(super) fn take(path: &Path) -> Result<Self, JournalFileError> {
        let failed = |source| JournalFileError::io("locking", path, source);
        // Not truncated: until the lock is ours, the content is its holder's.
        let options = &mut folder::options();
        let mut file =
            folder::open(path, options.read(true).write(true).create(true).truncate(false)).map_err(failed)?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => {
                return Err(JournalFileError::Locked { path: path.to_owned(), holder: holder(&mut file) });
            }
            Err(fs4::TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // A lock on Windows also keeps others from reading.
    let read = file.take(20).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(process) if read.is_ok() => format!("process {process}"),
        _ => "another process".to_owned(),
    }
}
