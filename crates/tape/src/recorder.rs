//! The recorder: observes the driver, and writes from its own thread.

mod writer;

use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;

use grail_miner::driver::Observer as MinersObserver;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use grail_validator::driver::Observer as ValidatorsObserver;

use self::writer::{Message, Writer};
use super::format::{Header, Step};
use super::role::{Miner, Role, Validator};

/// Messages that may wait for the writer; a window of hundreds of groups gives a few thousand.
const QUEUE: usize = 4096;

/// Folder and size limit of tapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapeFolder {
    /// The folder.
    pub path: PathBuf,
    /// Older tapes are removed once all of them together are larger than this.
    pub bytes_max: u64,
}

/// When a run continues with another tape, and how long tapes stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A tape this large ends with its window; so does one that has become too long to be read again.
    pub tape_bytes_max: u64,
    /// Longest wall time of one file, in milliseconds.
    pub tape_ms_max: u64,
    /// Tapes that were last written this many milliseconds ago are removed.
    pub keep_ms: u64,
    /// Whether to wait for a slow disk. If not, steps are lost, and the tape shows that.
    pub waits: bool,
}

impl Rotation {
    /// One complete tape per run, kept forever: for simulations.
    pub const NEVER: Self = Self { tape_bytes_max: u64::MAX, tape_ms_max: u64::MAX, keep_ms: u64::MAX, waits: true };
    /// For mining, which never waits for a disk.
    pub const LIVE: Self =
        Self { tape_bytes_max: 256 << 20, tape_ms_max: 6 * 3_600_000, keep_ms: 14 * 24 * 3_600_000, waits: false };
}

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
#[error("cannot record to {} ({source}); give --tape a folder that can be written, or --tape off", path.display())]
pub struct RecorderError {
    path: PathBuf,
    source: std::io::Error,
}

/// Records one run of a miner or validator.
///
/// The caller's thread only copies; encoding, compressing and writing do not delay it. A tape that can no longer be
/// written is logged once, and the run continues without it.
pub struct Recorder<R: Role = Miner> {
    messages: Option<SyncSender<Message<R>>>,
    writer: Option<JoinHandle<()>>,
    path: PathBuf,
    step: Option<Step<R>>,
    number: u64,
    /// The window that the machine was in after the step before.
    window: Option<u64>,
    waits: bool,
    lost: bool,
}

impl<R: Role> Recorder<R> {
    /// Starts a tape in this folder, named by the time of its beginning; the whole run is on it.
    ///
    /// # Errors
    /// [`RecorderError`] if the folder or the file cannot be written.
    pub fn begin(folder: &TapeFolder, header: &Header<R>, wall_ms: u64) -> Result<Self, RecorderError> {
        Self::begin_rotating(folder, Rotation::NEVER, header, wall_ms)
    }

    /// Returns the same, continuing with another tape between windows.
    ///
    /// # Errors
    /// [`RecorderError`] if the folder or the file cannot be written.
    pub fn begin_rotating(
        folder: &TapeFolder,
        rotation: Rotation,
        header: &Header<R>,
        wall_ms: u64,
    ) -> Result<Self, RecorderError> {
        let failed = |source| RecorderError { path: folder.path.clone(), source };
        let writer = Writer::begin(folder.clone(), rotation, header.clone(), wall_ms).map_err(failed)?;
        let path = writer.path().to_owned();
        let (messages, inbox) = mpsc::sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("tape".to_owned()).spawn(move || writer.write(&inbox));
        let writer = Some(thread.map_err(failed)?);
        let waits = rotation.waits;
        let messages = Some(messages);
        Ok(Self { messages, writer, path, step: None, number: 0, window: None, waits, lost: false })
    }

    /// Returns the tape, or the first of them.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn put(&mut self, message: Message<R>) {
        let Some(messages) = &self.messages else { return };
        // The writer ends if it cannot write, and has said so.
        if self.waits {
            let _ = messages.send(message);
        } else if let Err(TrySendError::Full(_)) = messages.try_send(message) {
            if !self.lost {
                tracing::warn!("the disk is too slow: steps are missing on the tape {}", self.path.display());
            }
            self.lost = true;
        }
    }

    fn begin_step(&mut self, now: Now, event: &R::Event) {
        let Now { monotonic_ms, wall_ms } = now;
        let (number, event) = (self.number, R::redacted(event));
        self.step = Some(Step { number, monotonic_ms, wall_ms, event, actions: Vec::new() });
    }

    fn add(&mut self, action: &R::Action) {
        if let Some(step) = &mut self.step {
            step.actions.push(R::redacted_line(action));
        }
    }

    fn end_step(&mut self, now: Now, machine: &R::Machine) {
        let Some(step) = self.step.take() else { return };
        self.number += 1;
        self.put(Message::Step(Box::new(step)));
        // Between windows there is little to copy.
        let window = R::window(machine);
        if window != self.window {
            self.window = window;
            self.put(Message::State { wall_ms: now.wall_ms, snapshot: Box::new(R::snapshot(machine)) });
        }
    }
}

impl MinersObserver for Recorder {
    fn event(&mut self, now: Now, event: &Event) {
        self.begin_step(now, event);
    }

    fn action(&mut self, _: Now, action: &Action) {
        self.add(action);
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.end_step(now, machine);
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

impl ValidatorsObserver for Recorder<Validator> {
    fn event(&mut self, now: Now, event: &grail_validator::Event) {
        self.begin_step(now, event);
    }

    fn action(&mut self, _: Now, action: &grail_validator::Action) {
        self.add(action);
    }

    fn handled(&mut self, now: Now, machine: &grail_validator::Validator) {
        self.end_step(now, machine);
    }
}

impl<R: Role> Drop for Recorder<R> {
    fn drop(&mut self) {
        drop(self.messages.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so.
            let _ = writer.join();
        }
    }
}
