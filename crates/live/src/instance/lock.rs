//! Identity of this installation, and the lock on the hotkey's file.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use grail_folder::{self as folder, FolderError};

const INSTANCE_BYTES: usize = 8;

/// A random name for one data folder; a process that starts again there is the same instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceId(String);

/// Held while a process mines with a hotkey; the operating system lets go of it however the process ends.
#[derive(Debug)]
pub struct HotkeyLock {
    _file: Option<File>,
}

/// Why this process may not mine.
#[derive(Debug, thiserror::Error)]
pub enum HotkeyLockError {
    /// Another process has the lock on the hotkey's file.
    #[error(
        "another process on this machine mines with the hotkey in {}; stop that one, or mine with another hotkey",
        .0.display()
    )]
    Taken(PathBuf),
    /// The operating system refuses.
    #[error("cannot {doing} {}: {source}; check that the file exists and is yours", .path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl HotkeyLock {
    /// Takes the lock on a hotkey's file, at once or not at all. A pipe is not locked, because opening it again would
    /// consume the key. The journal's lock and the guard in the bucket remain.
    ///
    /// # Errors
    /// [`HotkeyLockError::Taken`] if another process has it, and what the operating system refuses.
    pub fn take(hotkey_path: &Path) -> Result<Self, HotkeyLockError> {
        let path = || hotkey_path.to_owned();
        let opened = fs::metadata(hotkey_path)
            .and_then(|metadata| metadata.is_file().then(|| File::open(hotkey_path)).transpose());
        let opened = opened.map_err(|source| HotkeyLockError::Io { doing: "open", path: path(), source })?;
        let Some(file) = opened else { return Ok(Self { _file: None }) };
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(fs4::TryLockError::WouldBlock) => Err(HotkeyLockError::Taken(path())),
            Err(fs4::TryLockError::Error(source)) => Err(HotkeyLockError::Io { doing: "lock", path: path(), source }),
        }
    }
}

impl InstanceId {
    /// Returns the name kept in this data folder, or a new one.
    ///
    /// # Errors
    /// [`FolderError`] if the folder is not its owner's alone, or cannot be read or written.
    pub fn of(data_folder: &Path) -> Result<Self, FolderError> {
        folder::claim(data_folder)?;
        let path = data_folder.join("instance-id");
        match folder::read(&path).map(|content| String::from_utf8_lossy(&content).trim().to_owned()) {
            Ok(text) if is_id(&text) => return Ok(Self(text)),
            // A crash may have left it empty; any name works if it stays the same.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FolderError::io("read", &path)(error)),
        }
        let mut bytes = [0; INSTANCE_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::from).map_err(FolderError::io("draw a name for", &path))?;
        let id = hex::encode(bytes);
        let opened = folder::open(&path, folder::options().write(true).create(true).truncate(true));
        let written = opened.and_then(|mut file| file.write_all(id.as_bytes()));
        written.map_err(FolderError::io("write", &path))?;
        Ok(Self(id))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether a text is the name of an installation.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 2 * INSTANCE_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_name_and_another_gets_another() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let id = InstanceId::of(one.path()).unwrap();
        assert_eq!(InstanceId::of(one.path()).unwrap(), id);
        assert_ne!(InstanceId::of(other.path()).unwrap(), id);
        fs::write(one.path().join("instance-id"), "").unwrap();
        assert!(is_id(&InstanceId::of(one.path()).unwrap().to_string()));
    }

    #[test]
    fn names_of_foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("instance-id")).unwrap();
        assert!(matches!(InstanceId::of(folder.path()), Err(FolderError::Strange { .. })));
    }

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hot");
        assert!(matches!(HotkeyLock::take(&path), Err(HotkeyLockError::Io { .. })));
        fs::write(&path, "key").unwrap();
        let held = HotkeyLock::take(&path).unwrap();
        assert!(matches!(HotkeyLock::take(&path), Err(HotkeyLockError::Taken(_))));
        drop(held);
        HotkeyLock::take(&path).unwrap();
    }
}
