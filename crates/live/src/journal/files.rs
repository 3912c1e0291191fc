//! The files of one journal: the current one, the older ones, and how one takes another's place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::JournalFileError;

/// A file as the journal writes it.
pub(super) trait Appending: Send {
    /// Write all of these bytes at the end.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Return once everything written is on the disk.
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

/// Where the files lie.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
    name: String,
}

impl Files {
    /// The files of this name; makes the folder, for its owner alone.
    ///
    /// # Errors
    /// [`JournalFileError::Io`] where the folder cannot be made.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self, JournalFileError> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.recursive(true).create(folder);
        made.map_err(|source| JournalFileError::io("making the folder", folder, source))?;
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// The files of this name that are there, oldest first; nothing is made.
    pub(super) fn all(folder: &Path, name: &str) -> Vec<PathBuf> {
        let files = Self { folder: folder.to_owned(), name: name.to_owned() };
        let mut all: Vec<PathBuf> = (1..).map(|age| files.old(age)).take_while(|path| path.exists()).collect();
        all.reverse();
        all.extend(Some(files.current()).filter(|path| path.exists()));
        all
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

    /// The current file's first `bytes`, or all of it.
    pub(super) fn read(&self, bytes: Option<u64>) -> Result<Vec<u8>, JournalFileError> {
        let path = self.current();
        let mut content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(JournalFileError::io("reading", &path, error)),
        };
        if let Some(bytes) = bytes {
            content.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(content)
    }

    /// Open the current file to append, after cutting it to `bytes`.
    pub(super) fn open_cut(&self, bytes: u64) -> Result<File, JournalFileError> {
        let path = self.current();
        let failed = |source| JournalFileError::io("opening", &path, source);
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != bytes {
            file.set_len(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(file)
    }

    /// Write `content` into a new file that becomes the current one, at once or not at all; up to `keep` older ones stay.
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
        let mut file = wrap(private_file().append(true).create_new(true).open(&new).map_err(failed)?);
        content.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync()).map_err(failed)?;
        let moved = self.age(keep).and_then(|()| fs::rename(&new, self.current())).and_then(|()| self.sync_folder());
        moved.map_err(|source| JournalFileError::io("replacing", &self.current(), source))?;
        Ok(file)
    }

    /// Let the current file become the first of the older ones, while it stays the current one.
    fn age(&self, keep: usize) -> io::Result<()> {
        if keep == 0 || !self.current().exists() {
            return Ok(());
        }
        remove(&self.old(keep))?;
        for age in (1..keep).rev().filter(|age| self.old(*age).exists()) {
            fs::rename(self.old(age), self.old(age + 1))?;
        }
        // A second name leaves no moment without a current file; not every file system has second names.
        fs::hard_link(self.current(), self.old(1)).or_else(|_| fs::copy(self.current(), self.old(1)).map(drop))
    }

    fn sync_folder(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

/// Options for a file that its owner alone may read.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
