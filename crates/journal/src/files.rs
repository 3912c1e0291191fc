//! The files of one journal: the current one, the older ones, and how one takes another's place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{JournalFileError, READING};
use grail_folder as folder;

/// Longest file of a journal; a window of 20,000 rollouts has 300 MB.
const FILE_BYTES_MAX: usize = 1 << 30;

/// A file as the journal writes it.
pub(super) trait Appending: Send {
    /// Writes all of these bytes at the end.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Appending for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes the journal's file of an open one; tests put failures in between.
pub(super) type Wrap = Box<dyn FnMut(File) -> Box<dyn Appending> + Send>;

/// The journal's files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
    name: String,
}

impl Files {
    /// Returns the files of this name; makes the folder, for its owner alone.
    ///
    /// # Errors
    /// [`JournalFileError::Folder`] if the folder cannot be made, or is not its owner's alone.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self, JournalFileError> {
        folder::claim(folder)?;
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// Shows what the files of this name hold, newest first and at most two in memory; nothing is made.
    ///
    /// A writer may start another file meanwhile. Files only ever grow older, so reading from the newest on misses none;
    /// one that is met twice, before and after it grew older, starts with what was read of it first, and is shown once.
    pub(super) fn each(
        folder: &Path,
        name: &str,
        mut show: impl FnMut(&Path, &[u8]) -> Result<(), JournalFileError>,
    ) -> Result<(), JournalFileError> {
        let files = Self { folder: folder.to_owned(), name: name.to_owned() };
        let mut newer: Option<(PathBuf, Vec<u8>)> = None;
        let mut absent = 0;
        for path in [files.current()].into_iter().chain((1..).map(|age| files.old(age))) {
            match folder::read_at_most(&path, FILE_BYTES_MAX) {
                Ok(content) => {
                    absent = 0;
                    if let Some((path, newer)) = newer.take().filter(|(_, newer)| !content.starts_with(newer)) {
                        show(&path, &newer)?;
                    }
                    newer = Some((path, content));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => absent += 1,
                Err(error) => return Err(JournalFileError::io(READING, &path, error)),
            }
            // While files grow older, one name may be free between two that are taken.
            if absent == 2 {
                break;
            }
        }
        newer.map_or(Ok(()), |(path, content)| show(&path, &content))
    }

    pub(super) fn current(&self) -> PathBuf {
        self.folder.join(format!("{}.journal", self.name))
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.folder.join(format!("{}.lock", self.name))
    }

    fn old(&self, age: usize) -> PathBuf {
        self.folder.join(format!("{}.journal.{age}", self.name))
    }

    /// Returns the current file's first `bytes`, or all of it.
    pub(super) fn read(&self, bytes: Option<u64>) -> Result<Vec<u8>, JournalFileError> {
        let path = self.current();
        let mut content = match folder::read_at_most(&path, FILE_BYTES_MAX) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(JournalFileError::io(READING, &path, error)),
        };
        if let Some(bytes) = bytes {
            content.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(content)
    }

    /// Opens the current file to append, after cutting it to `bytes`.
    pub(super) fn open_cut(&self, bytes: u64) -> Result<File, JournalFileError> {
        let path = self.current();
        let failed = |source| JournalFileError::io("opening", &path, source);
        let file = folder::open(&path, folder::options().append(true)).map_err(failed)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != bytes {
            file.set_len(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(file)
    }

    /// Writes `content` into a new file that becomes the current one, at once or not at all; up to `keep` older ones
    /// stay.
    pub(super) fn replace(
        &self,
        content: &[&[u8]],
        keep: usize,
        wrap: &mut Wrap,
    ) -> Result<Box<dyn Appending>, JournalFileError> {
        let new = self.folder.join(format!("{}.journal.new", self.name));
        let failed = |source| JournalFileError::io("writing", &new, source);
        // Left over by a crash; opening it could meet a file of other permissions.
        remove(&new).map_err(failed)?;
        let made = folder::open(&new, folder::options().append(true).create_new(true));
        let mut file = wrap(made.map_err(failed)?);
        content.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync()).map_err(failed)?;
        let moved = self.age(keep).and_then(|()| fs::rename(&new, self.current())).and_then(|()| self.sync_folder());
        moved.map_err(|source| JournalFileError::io("replacing", &self.current(), source))?;
        Ok(file)
    }

    /// Makes the current file also the first of the older ones.
    fn age(&self, keep: usize) -> io::Result<()> {
        if keep == 0 || !folder::is_there(&self.current()) {
            return Ok(());
        }
        remove(&self.old(keep))?;
        for age in (1..keep).rev().filter(|age| folder::is_there(&self.old(*age))) {
            fs::rename(self.old(age), self.old(age + 1))?;
        }
        // A second name leaves no moment without a current file; not every file system has second names.
        fs::hard_link(self.current(), self.old(1)).or_else(|_| {
            let content = folder::read(&self.current())?;
            let mut copy = folder::open(&self.old(1), folder::options().append(true).create_new(true))?;
            Write::write_all(&mut copy, &content)
        })
    }

    /// Moves the current file out of the way, and returns its new place; what was moved there before is replaced.
    pub(super) fn set_aside(&self) -> Result<PathBuf, JournalFileError> {
        let (path, aside) = (self.current(), self.folder.join(format!("{}.journal.damaged", self.name)));
        let moved = fs::rename(&path, &aside).and_then(|()| self.sync_folder());
        moved.map_err(|source| JournalFileError::io("moving", &path, source))?;
        Ok(aside)
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
