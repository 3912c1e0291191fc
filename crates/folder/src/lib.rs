//! The data folder: owned by one user, with files that are opened without following links and without blocking.
//!
//! Another user who may write to the folder could put a link, a pipe or a device in the place of a file. The miner would
//! then write to a file elsewhere, or wait forever. [`claim`] refuses such a folder before the miner uses it, and [`open`]
//! and [`read`] take regular files and nothing else. [`frames`] are the records of journals and tapes, in which a torn end
//! differs from damage.

pub mod bounded;
pub mod frames;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Permission bits by which other users may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission bits of other users.
const OPEN_TO_OTHERS: u32 = 0o077;
/// Files that the miner writes under a fixed name.
const FILES: [&str; 4] = ["instance-id", "receipts.jsonl", "verdicts.jsonl", "weights.jsonl"];
/// Folders that the miner writes to.
const FOLDERS: [&str; 2] = ["tapes", "wandb"];

/// Why a data folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another user owns it, and can change it at any time.
    #[error(
        "{path} belongs to user {owner}, and this process runs as user {us}; run grail as its owner, or name another \
         folder with --data-dir"
    )]
    NotOurs {
        /// The folder, or something in it.
        path: PathBuf,
        /// Id of its owner.
        owner: u32,
        /// Id of this process's user.
        us: u32,
    },
    /// Other users may write to it.
    #[error(
        "{path} has mode {mode:04o}, so other users can write to it; check its content, then run `chmod 700 {path}`"
    )]
    OpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something that the miner would not have created.
    #[error("{path} is {what}, but the miner needs a regular file or folder there; remove it")]
    Strange {
        /// The path.
        path: PathBuf,
        /// Its kind.
        what: &'static str,
    },
    /// The operating system refuses.
    #[error(
        "cannot {doing} {path} ({source}); check that it is yours and that its disk works, or name another folder with \
         --data-dir"
    )]
    Io {
        /// The operation.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl FolderError {
    /// Returns the operating system refused to do this.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Creates the folder, or takes an existing one, and closes it to other users.
///
/// # Errors
/// [`FolderError`] if another user owns it or may write to it, or if something in it is not the miner's.
pub fn claim(folder: &Path) -> Result<(), FolderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(FolderError::io("make the folder", folder))?;
    let mode = examine(folder)?;
    if mode & OPEN_TO_OTHERS != 0 {
        // A file system that keeps no modes refuses, and nobody but its owner may write anyway.
        let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    }
    Ok(())
}

/// As [`claim`], for a folder next to the data folder, which must not be a link to one elsewhere: files in it are removed.
///
/// # Errors
/// As [`claim`].
pub fn claim_no_link(folder: &Path) -> Result<(), FolderError> {
    match fs::symlink_metadata(folder) {
        Ok(found) if !found.is_dir() => {
            Err(FolderError::Strange { path: folder.to_owned(), what: what(found.file_type()) })
        }
        _ => claim(folder),
    }
}

/// Checks an existing folder without changing it, and returns its permission bits.
///
/// # Errors
/// As [`claim`].
pub fn examine(folder: &Path) -> Result<u32, FolderError> {
    let us = rustix::process::geteuid().as_raw();
    let metadata = fs::metadata(folder).map_err(FolderError::io("look at", folder))?;
    let mode = metadata.permissions().mode() & 0o7777;
    match metadata.uid() {
        _ if !metadata.is_dir() => {
            let source = io::ErrorKind::NotADirectory.into();
            return Err(FolderError::Io { doing: "use as a folder", path: folder.to_owned(), source });
        }
        owner if owner != us => return Err(FolderError::NotOurs { path: folder.to_owned(), owner, us }),
        _ if mode & WRITABLE_BY_OTHERS != 0 => return Err(FolderError::OpenToOthers { path: folder.to_owned(), mode }),
        _ => {}
    }
    let mut names_of: BTreeMap<(u64, u64), (u64, u64, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(FolderError::io("list", folder))? {
        let entry = entry.map_err(FolderError::io("list", folder))?;
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let Some(is_ours) = kept_as(&name) else { continue };
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // A running miner replaces its files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(FolderError::io("look at", &path)(error)),
        };
        if !is_ours(&metadata.file_type()) {
            return Err(FolderError::Strange { path, what: what(metadata.file_type()) });
        }
        if metadata.uid() != us {
            return Err(FolderError::NotOurs { path, owner: metadata.uid(), us });
        }
        if metadata.is_file() {
            let names = names_of.entry((metadata.dev(), metadata.ino())).or_insert((0, metadata.nlink(), path));
            names.0 += 1;
        }
    }
    // The journal gives a file a second name for a moment, so two links within this folder are fine.
    match names_of.into_values().find(|(here, everywhere, _)| here < everywhere) {
        Some((_, _, path)) => Err(FolderError::Strange { path, what: "a file that has another name elsewhere" }),
        None => Ok(mode),
    }
}

/// Returns options for a file in the data folder: private, no links followed, opening does not block.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Opens a regular file with [`options`] to which the kind of access was added.
///
/// # Errors
/// The operating system's error; [`io::ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let opened = options.open(path).and_then(|file| Ok((file.metadata()?, file)));
    let lies_there = match &opened {
        Ok((metadata, _)) => Some(metadata.file_type()),
        // For a caller that wants a new file, this error is the right answer.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
        Err(_) => fs::symlink_metadata(path).ok().map(|metadata: Metadata| metadata.file_type()),
    };
    match lies_there.filter(|kind| !kind.is_file() && !kind.is_dir()) {
        Some(kind) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}, not a regular file", what(kind))))
        }
        None => opened.map(|(_, file)| file),
    }
}

/// Reads a regular file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path, options().read(true))?.read_to_end(&mut content)?;
    Ok(content)
}

/// Returns the content of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and [`io::ErrorKind::FileTooLarge`].
pub fn read_at_most(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    bounded::read_from(open(path, options().read(true))?, limit)
}

/// Returns whether anything exists at the path, including a dangling link.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Returns the check for the kind of file that the miner keeps under this name; none if it keeps no such file.
fn kept_as(name: &str) -> Option<fn(&FileType) -> bool> {
    match name {
        _ if FILES.contains(&name) || name.contains(".journal") || name.ends_with(".lock") => Some(FileType::is_file),
        _ if FOLDERS.contains(&name) => Some(FileType::is_dir),
        _ if name.starts_with("control-") && name.ends_with(".sock") => Some(FileType::is_socket),
        _ => None,
    }
}

fn what(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_dir() => "a folder",
        kind if kind.is_file() => "a regular file",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    fn make_pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_is_made_or_tightened_and_one_that_others_may_write_to_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("one/two");
        claim(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        set_mode(&deep, 0o755);
        claim(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        for open in [0o777, 0o1777, 0o770, 0o702] {
            set_mode(&deep, open);
            let error = claim(&deep).unwrap_err();
            assert!(matches!(&error, FolderError::OpenToOthers { mode, .. } if *mode == open), "{error}");
            assert!(error.to_string().contains("chmod 700"), "{error}");
            assert_eq!(mode(&deep), open, "what was refused is left alone");
        }
        fs::write(parent.path().join("file"), "").unwrap();
        assert!(matches!(claim(&parent.path().join("file")), Err(FolderError::Io { .. })));
    }

    #[test]
    fn whatever_is_not_the_miners_is_named() {
        let elsewhere = tempfile::tempdir().unwrap();
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "important").unwrap();
        type Plant = fn(&Path, &Path);
        let link: Plant = |path, victim| symlink(victim, path).unwrap();
        let to_nowhere: Plant = |path, victim| symlink(victim.with_extension("absent"), path).unwrap();
        let pipe: Plant = |path, _| make_pipe(path);
        let folder: Plant = |path, _| fs::create_dir(path).unwrap();
        let second_name: Plant = |path, victim| fs::hard_link(victim, path).unwrap();
        let file: Plant = |path, _| fs::write(path, "").unwrap();
        let planted = [
            ("instance-id", link, "a symbolic link"),
            ("receipts.jsonl", pipe, "a named pipe"),
            ("weights.jsonl", to_nowhere, "a symbolic link"),
            ("5abc.journal", second_name, "another name elsewhere"),
            ("5abc.journal.1", link, "a symbolic link"),
            ("5abc.lock", folder, "a folder"),
            ("tapes", link, "a symbolic link"),
            ("wandb", file, "a regular file"),
            ("control-5abc.sock", file, "a regular file"),
        ];
        for (name, plant, named) in planted {
            let data = tempfile::tempdir().unwrap();
            plant(&data.path().join(name), &victim);
            let error = claim(data.path()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, FolderError::Strange { .. }) && text.contains(named), "{name}: {text}");
            assert_eq!(fs::read(&victim).unwrap(), b"important", "{name}");
        }
        // Files of a miner, and other files next to them.
        let data = tempfile::tempdir().unwrap();
        for name in ["instance-id", "receipts.jsonl", "5abc.journal", "5abc.lock"] {
            file(&data.path().join(name), &victim);
        }
        fs::hard_link(data.path().join("5abc.journal"), data.path().join("5abc.journal.1")).unwrap();
        fs::create_dir(data.path().join("tapes")).unwrap();
        let _socket = UnixListener::bind(data.path().join("control-5abc.sock")).unwrap();
        link(&data.path().join("notes"), &victim);
        claim(data.path()).unwrap();
    }

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "content").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        make_pipe(&at("pipe"));
        assert_eq!(read(&at("file")).unwrap(), b"content");
        for (name, named) in [("link", "a symbolic link"), ("endless", "a symbolic link"), ("pipe", "a named pipe")] {
            for options in [options().read(true), options().append(true), options().read(true).write(true).create(true)]
            {
                let error = open(&at(name), options).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}: {error}");
                assert!(error.to_string().contains(named), "{name}: {error}");
            }
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"content");
        assert_eq!(read(&at("absent")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(is_there(&at("link")) && !is_there(&at("absent")));
        open(&at("new"), options().append(true).create(true)).unwrap();
        assert_eq!(mode(&at("new")), 0o600);
    }
}
