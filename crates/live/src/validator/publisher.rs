//! Publishes what a validator accepted, as the reference's validator does: one object a window.
//!
//! It has no effect on verdicts or weights. A thread of its own collects and uploads, so that neither waits for a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use grail_miner::ports::{Bucket, BucketError, Now, PutCondition};
use grail_protocol::window_file::{pack_published, published_key};
use grail_validator::driver::Observer;
use grail_validator::{Action, Event, Outcome, Report, Validator};

use crate::bucket::{BucketConfig, BucketConfigError, S3Bucket};

/// Attempts at one object, as many as the reference's.
const ATTEMPTS: u32 = 3;
/// Pause after the first attempt; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time of one attempt, in milliseconds.
const ATTEMPT_MS: u64 = 60_000;

/// Valid rollouts of one accepted file, as JSON.
pub(super) struct AcceptedFile {
    pub(super) window_start: u64,
    pub(super) hotkey: String,
    pub(super) rollouts: Vec<String>,
}

enum Message {
    Accepted(AcceptedFile),
    /// A window has ended, and these miners were accepted in it.
    Ended {
        window_start: u64,
        accepted: BTreeSet<String>,
        wall_ms: u64,
    },
    Stop,
}

/// Outcome of a window's publication.
#[derive(Debug)]
pub enum Published {
    /// The object is there.
    Done {
        /// First block of the window.
        window_start: u64,
        /// Rollouts in it.
        count: usize,
        /// Accepted miners whose rollouts are missing, since another process judged them.
        missing: usize,
    },
    /// An object was there already, from an earlier process, and stays.
    Kept {
        /// First block of the window.
        window_start: u64,
    },
    /// It is not.
    Failed {
        /// First block of the window.
        window_start: u64,
        /// Why.
        error: BucketError,
    },
}

impl Published {
    /// Returns whether everything that was accepted is in the bucket.
    pub const fn is_well(&self) -> bool {
        matches!(self, Self::Done { missing: 0, .. })
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { window_start, count, missing: 0 } => {
                write!(f, "window {window_start}: {count} valid rollouts are published")
            }
            Self::Done { window_start, count, missing } => write!(
                f,
                "window {window_start}: {count} valid rollouts are published, without those of {missing} accepted \
                 miners, which an earlier process judged"
            ),
            Self::Kept { window_start } => {
                write!(f, "window {window_start}: nothing is published, since {} exists", published_key(*window_start))
            }
            Self::Failed { window_start, error } => {
                write!(f, "window {window_start}: its valid rollouts are not published: {error}")
            }
        }
    }
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The bucket's description cannot be right.
    #[error(transparent)]
    Bucket(#[from] BucketConfigError),
    /// No thread is left.
    #[error("the thread that publishes cannot be started ({0}); the operating system refuses more threads")]
    Thread(#[from] std::io::Error),
}

/// Hands accepted rollouts to the publisher.
#[derive(Clone)]
pub struct Collector(mpsc::Sender<Message>);

impl Collector {
    pub(super) fn accepted(&self, file: AcceptedFile) {
        // The publisher may have ended.
        let _ = self.0.send(Message::Accepted(file));
    }
}

/// Uploads each window's valid rollouts after its end. Dropping it waits for the present upload.
pub struct Publisher {
    messages: mpsc::Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts the thread. `tell` hears of every outcome.
    ///
    /// # Errors
    /// [`PublisherError`].
    pub fn start(config: BucketConfig, tell: impl Fn(Published) + Send + 'static) -> Result<Self, PublisherError> {
        // A bucket stays on its thread, so a mistake in its description is found here.
        drop(S3Bucket::new(config.clone())?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (messages, inbox) = mpsc::channel();
        let work = move || {
            let Ok(bucket) = S3Bucket::new(config) else { return };
            runtime.block_on(publish(&bucket, &inbox, &tell));
        };
        let thread = std::thread::Builder::new().name("publish".to_owned()).spawn(work)?;
        Ok(Self { messages, thread: Some(thread) })
    }

    /// Returns a handle for the thread that judges.
    pub fn collector(&self) -> Collector {
        Collector(self.messages.clone())
    }
}

impl Observer for Publisher {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, now: Now, action: &Action) {
        let Action::Report(Report::Window(window)) = action else { return };
        let accepted = window.receipts.iter().filter(|receipt| receipt.outcome == Outcome::Accepted);
        let accepted = accepted.map(|receipt| receipt.hotkey.clone()).collect();
        // The thread may have ended.
        let ended = Message::Ended { window_start: window.window_start, accepted, wall_ms: now.wall_ms };
        let _ = self.messages.send(ended);
    }

    fn handled(&mut self, _: Now, _: &Validator) {}
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // The thread that judges may still hold a collector, so the channel stays open.
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

async fn publish(bucket: &S3Bucket, inbox: &mpsc::Receiver<Message>, tell: &dyn Fn(Published)) {
    let mut files: BTreeMap<u64, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for message in inbox {
        let (window_start, accepted, wall_ms) = match message {
            Message::Accepted(AcceptedFile { window_start, hotkey, rollouts }) => {
                files.entry(window_start).or_default().insert(hotkey, rollouts);
                continue;
            }
            Message::Ended { window_start, accepted, wall_ms } => (window_start, accepted, wall_ms),
            Message::Stop => return,
        };
        let mut of_window = files.remove(&window_start).unwrap_or_default();
        // The verdict on a file of an earlier window came after its end, and counts for no window.
        files.retain(|start, _| *start > window_start);
        of_window.retain(|hotkey, _| accepted.contains(hotkey));
        let missing = accepted.len() - of_window.len();
        let rollouts: Vec<String> = of_window.into_values().flatten().collect();
        if rollouts.is_empty() {
            continue;
        }
        let packed = pack_published(window_start, &rollouts, wall_ms as f64 / 1000.0);
        tell(match put(bucket, &published_key(window_start), &packed).await {
            Ok(true) => Published::Done { window_start, count: rollouts.len(), missing },
            Ok(false) => Published::Kept { window_start },
            Err(error) => Published::Failed { window_start, error },
        });
    }
}

/// Writes an object. Returns false if another one is there already.
async fn put(bucket: &S3Bucket, key: &str, packed: &[u8]) -> Result<bool, BucketError> {
    let (mut pause, mut was_sent) = (PAUSE, false);
    for attempt in 1.. {
        match bucket.put(key, packed, &PutCondition::Absent, ATTEMPT_MS).await {
            Ok(_) => break,
            // What is there is the attempt before, whose outcome was unknown.
            Err(BucketError::ConditionFailed) => return Ok(was_sent),
            Err(error @ (BucketError::Transient(_) | BucketError::Unknown(_))) if attempt < ATTEMPTS => {
                was_sent |= matches!(error, BucketError::Unknown(_));
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error),
        }
        pause *= 2;
    }
    Ok(true)
}
