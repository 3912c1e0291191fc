//! The thread that writes tapes: encodes, compresses, continues with another file, and discards old ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::SystemTime;

use super::{Rotation, TapeFolder};
use crate::format::{Frame, Header, Step, state_of, v1};
use crate::limits::RECORDED_BYTES_MAX;
use crate::role::Role;
use grail_folder as folder;

/// Message from the core's thread.
pub(super) enum Message<R: Role> {
    /// A step.
    Step(Box<Step<R>>),
    /// The machine's state between two windows.
    State {
        /// Wall time of the step before.
        wall_ms: u64,
        /// The state.
        snapshot: Box<R::Snapshot>,
    },
}

/// The file that is written, and what decides about the next one.
pub(super) struct Writer<R: Role> {
    folder: TapeFolder,
    rotation: Rotation,
    header: Header<R>,
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Size of its frames before compression.
    unpacked_bytes: usize,
    began_ms: u64,
}

impl<R: Role> Writer<R> {
    pub(super) fn begin(folder: TapeFolder, rotation: Rotation, header: Header<R>, wall_ms: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder.path)?;
        discard(&folder, rotation, None)?;
        let (path, mut file) = create(&folder.path, wall_ms)?;
        let beginning = v1::beginning(&header)?;
        file.write_all(&beginning)?;
        let bytes = beginning.len() as u64;
        Ok(Self { folder, rotation, header, file, path, bytes, unpacked_bytes: 0, began_ms: wall_ms })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(mut self, inbox: &Receiver<Message<R>>) {
        for message in inbox {
            if let Err(error) = self.take(message) {
                tracing::warn!(
                    "the tape {} ends here ({error}); free the disk: the rest continues",
                    self.path.display()
                );
                return;
            }
        }
    }

    fn take(&mut self, message: Message<R>) -> io::Result<()> {
        match message {
            Message::Step(step) => self.put(&Frame::Step(step)),
            Message::State { wall_ms, snapshot } => {
                let state = Frame::State(state_of(&*snapshot));
                self.put(&state)?;
                let age_ms = wall_ms.saturating_sub(self.began_ms);
                let is_readable = self.unpacked_bytes < RECORDED_BYTES_MAX;
                if is_readable && self.bytes < self.rotation.tape_bytes_max && age_ms < self.rotation.tape_ms_max {
                    return Ok(());
                }
                self.go_on(wall_ms)?;
                self.put(&state)
            }
        }
    }

    /// Continues in another file; it starts with the state with which this one ends.
    fn go_on(&mut self, wall_ms: u64) -> io::Result<()> {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let header = Header { continues: name, ..self.header.clone() };
        let (path, mut file) = create(&self.folder.path, wall_ms)?;
        let beginning = v1::beginning(&header)?;
        file.write_all(&beginning)?;
        (self.path, self.file, self.bytes, self.began_ms) = (path, file, beginning.len() as u64, wall_ms);
        self.unpacked_bytes = 0;
        discard(&self.folder, self.rotation, Some(&self.path))
    }

    fn put(&mut self, frame: &Frame<R>) -> io::Result<()> {
        let v1::Encoded { bytes, unpacked_bytes } = v1::encoded(frame)?;
        self.bytes += bytes.len() as u64;
        self.unpacked_bytes += unpacked_bytes;
        self.file.write_all(&bytes)
    }
}

fn create(tapes: &Path, wall_ms: u64) -> io::Result<(PathBuf, File)> {
    for number in 0.. {
        let path = tapes.join(format!("{wall_ms}-{number}.tape"));
        match folder::open(&path, folder::options().append(true).create_new(true)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (path, file)),
        }
    }
    unreachable!("there is a free number")
}

fn is_recorders(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_numbers = stem.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_numbers && path.extension().is_some_and(|extension| extension == "tape")
}

/// Removes tapes that are too old; then others, oldest first, until the rest is small enough. `written` stays, and so
/// does anything that is no regular file, or has a name that no recorder gives.
fn discard(folder: &TapeFolder, rotation: Rotation, written: Option<&Path>) -> io::Result<()> {
    let mut tapes = Vec::new();
    for entry in fs::read_dir(&folder.path)? {
        let path = entry?.path();
        if is_recorders(&path) && Some(path.as_path()) != written {
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_file() {
                tapes.push((metadata.modified()?, metadata.len(), path));
            }
        }
    }
    tapes.sort();
    let mut bytes: u64 = tapes.iter().map(|(_, length, _)| length).sum();
    let is_old = |modified: SystemTime| {
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        age.as_millis() > u128::from(rotation.keep_ms)
    };
    for (modified, length, path) in tapes {
        if bytes <= folder.bytes_max && !is_old(modified) {
            break;
        }
        fs::remove_file(path)?;
        bytes -= length;
    }
    Ok(())
}
