//! The recorder: sees what the driver sees, and writes it from a thread of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, Report};
use grail_miner::ports::Now;

use super::format::{Frame, Header, KIND, Step, line, packed};
use super::redaction::{redacted, redacted_action};
use crate::frames::frame;

/// Where tapes lie, and how many bytes of them stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapeFolder {
    /// The folder.
    pub path: PathBuf,
    /// Older tapes go once all of them together are larger than this.
    pub bytes_max: u64,
}

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
#[error("cannot record to {} ({source}); give --tape a folder that can be written, or --tape off", path.display())]
pub struct RecorderError {
    path: PathBuf,
    source: io::Error,
}

/// Records one run of a miner.
///
/// Encoding happens on the caller's thread, since the machine's data does not leave it; compressing and writing do not. A
/// tape that cannot be written any more is told once, and mining goes on without it.
pub struct Recorder {
    frames: Option<mpsc::Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    path: PathBuf,
    step: Option<Step>,
    window_ended: bool,
}

impl Recorder {
    /// Begin a tape in this folder, named by the time of its beginning.
    ///
    /// # Errors
    /// [`RecorderError`] where the folder or the file cannot be written.
    pub fn begin(folder: &TapeFolder, header: &Header, wall_ms: u64) -> Result<Self, RecorderError> {
        let failed = |source| RecorderError { path: folder.path.clone(), source };
        fs::create_dir_all(&folder.path).map_err(failed)?;
        discard_oldest(folder).map_err(failed)?;
        let (path, mut file) = create(&folder.path, wall_ms).map_err(failed)?;
        let json = serde_json::to_vec(header).map_err(|error| failed(io::Error::from(error)))?;
        let head = [KIND.header().to_vec(), frame(&packed(&json).map_err(failed)?)].concat();
        file.write_all(&head).map_err(failed)?;
        let (frames, inbox) = mpsc::channel();
        let shown = path.clone();
        let writer =
            std::thread::Builder::new().name("tape".to_owned()).spawn(move || write(&mut file, &inbox, &shown));
        let writer = Some(writer.map_err(failed)?);
        Ok(Self { frames: Some(frames), writer, path, step: None, window_ended: false })
    }

    /// The tape.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn put(&self, frame: &Frame) {
        let payload = postcard::to_allocvec(frame).expect("plain data has an encoding");
        // The writer ends where it cannot write, and has said so.
        let _ = self.frames.as_ref().map(|frames| frames.send(payload));
    }
}

impl Observer for Recorder {
    fn event(&mut self, now: Now, event: &Event) {
        let Now { monotonic_ms, wall_ms } = now;
        self.step = Some(Step { monotonic_ms, wall_ms, event: redacted(event), actions: Vec::new() });
    }

    fn action(&mut self, _: Now, action: &Action) {
        if let Some(step) = &mut self.step {
            step.actions.push(line(&redacted_action(action)));
        }
        self.window_ended |= matches!(action, Action::Report(Report::Receipt(_)));
    }

    fn handled(&mut self, _: Now, machine: &Machine) {
        if let Some(step) = self.step.take() {
            self.put(&Frame::Step(Box::new(step)));
        }
        // Between windows there is little to digest.
        if std::mem::take(&mut self.window_ended) {
            self.put(&Frame::State(machine.digest()));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.frames.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so.
            let _ = writer.join();
        }
    }
}

fn write(file: &mut File, inbox: &mpsc::Receiver<Vec<u8>>, path: &Path) {
    for payload in inbox {
        let written = packed(&payload).and_then(|packed| file.write_all(&frame(&packed)));
        if let Err(error) = written {
            tracing::warn!("the tape {} ends here ({error}); free the disk: mining goes on", path.display());
            return;
        }
    }
}

fn create(folder: &Path, wall_ms: u64) -> io::Result<(PathBuf, File)> {
    for number in 0.. {
        let path = folder.join(format!("{wall_ms}-{number}.tape"));
        match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (path, file)),
        }
    }
    unreachable!("there is a free number")
}

/// Remove tapes, oldest first, until the others are small enough.
fn discard_oldest(folder: &TapeFolder) -> io::Result<()> {
    let mut tapes = Vec::new();
    for entry in fs::read_dir(&folder.path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tape") {
            let metadata = fs::metadata(&path)?;
            tapes.push((metadata.modified()?, metadata.len(), path));
        }
    }
    tapes.sort();
    let mut bytes: u64 = tapes.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in tapes {
        if bytes <= folder.bytes_max {
            break;
        }
        fs::remove_file(path)?;
        bytes -= length;
    }
    Ok(())
}
