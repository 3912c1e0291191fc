//! Result files of commands, opened before the work so that no result is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{Exit, ExitError};

/// A file that can be written, with the content that it had before.
#[derive(Debug)]
pub struct OutFile {
    path: PathBuf,
    option: &'static str,
    file: File,
    is_new: bool,
    is_written: bool,
}

impl OutFile {
    /// Opens the file that `option` names and leaves its content as it is.
    ///
    /// # Errors
    /// [`ExitError`] with the remedy if the file cannot be written.
    pub fn open(path: &Path, option: &'static str) -> Result<Self, ExitError> {
        Self::with_mode(path, option, 0o666)
    }

    /// As [`Self::open`], for a file that only its owner may read.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn private(path: &Path, option: &'static str) -> Result<Self, ExitError> {
        Self::with_mode(path, option, 0o600)
    }

    fn with_mode(path: &Path, option: &'static str, mode: u32) -> Result<Self, ExitError> {
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(mode).open(path);
        let file = file.map_err(|error| unusable(option, path, &error))?;
        Ok(Self { path: path.to_owned(), option, file, is_new, is_written: false })
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// [`ExitError`] if the disk does not take it.
    pub fn write(self, content: &[u8]) -> Result<(), ExitError> {
        self.write_with(|file| file.write_all(content))
    }

    /// Replaces the content by what `write` writes.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_with(mut self, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> Result<(), ExitError> {
        let written = self.cut().and_then(|()| {
            let mut writer = BufWriter::new(&self.file);
            write(&mut writer)?;
            writer.flush()
        });
        self.is_written = true;
        written.map_err(|error| unusable(self.option, &self.path, &error))
    }

    /// Removes the content, if this is a file: a pipe or a terminal has none.
    fn cut(&self) -> io::Result<()> {
        if self.file.metadata()?.is_file() { self.file.set_len(0) } else { Ok(()) }
    }
}

impl Drop for OutFile {
    /// Removes a file that this process made and never wrote to.
    fn drop(&mut self) {
        if self.is_new && !self.is_written {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns the error of a path that `option` names and that cannot be written.
pub fn unusable(option: &str, path: &Path, error: &io::Error) -> ExitError {
    let text = format!("cannot write {} ({error}); give {option} a path that can be written", path.display());
    ExitError::new(Exit::of_file(error), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_fails_leaves_neither_an_empty_file_nor_an_emptied_one() {
        let folder = tempfile::tempdir().unwrap();
        let [new, old] = ["new", "old"].map(|name| folder.path().join(name));
        fs::write(&old, "a longer text").unwrap();
        for path in [&new, &old] {
            drop(OutFile::open(path, "--out").unwrap());
        }
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&old).unwrap(), "a longer text");
        for path in [&new, &old] {
            OutFile::open(path, "--out").unwrap().write(b"short").unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "short");
        }
        let error = OutFile::open(&folder.path().join("no/file"), "--html").unwrap_err().to_string();
        assert!(error.ends_with("give --html a path that can be written"), "{error}");
        OutFile::open(Path::new("/dev/null"), "--out").unwrap().write(b"x").unwrap();
    }
}
