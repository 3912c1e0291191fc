//! A record as bytes: postcard, in which a float is its eight bytes and so comes back bit for bit.

use std::borrow::Cow;

use grail_folder::frames::FileKind;
use grail_miner::ports::JournalRecord;
use grail_protocol::budget::Budget;
use grail_protocol::rollout::{Rollout, WindowContext};
use grail_protocol::signature::Hotkey;
use serde::{Deserialize, Serialize};

/// Beginning of a miner's journal.
pub(super) const KIND: FileKind = FileKind { magic: *b"GRAILJNL", version: 1 };

/// The stored form, apart from [`JournalRecord`]: changing it changes the file format.
#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    Window { hotkey: [u8; 32], window_start: u64, block_hash: Cow<'a, str>, randomness: Cow<'a, str>, use_drand: bool },
    Group { window_start: u64, rollouts: Cow<'a, [Rollout]> },
    UploadStarted { window_start: u64, digest: Cow<'a, str>, groups: usize },
    UploadDone { window_start: u64, digest: Cow<'a, str> },
    UploadAbandoned { window_start: u64, digest: Cow<'a, str>, why: Cow<'a, str> },
    WindowClosed { window_start: u64 },
}

/// Returns a record's bytes.
///
/// # Errors
/// [`postcard::Error`], which plain data does not give.
pub fn encode(record: &JournalRecord) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(&match record {
        JournalRecord::Window(context) => Stored::Window {
            hotkey: *context.hotkey.bytes(),
            window_start: context.window_start,
            block_hash: context.block_hash.as_str().into(),
            randomness: context.randomness.as_str().into(),
            use_drand: context.use_drand,
        },
        JournalRecord::Group { window_start, rollouts } => {
            Stored::Group { window_start: *window_start, rollouts: rollouts[..].into() }
        }
        JournalRecord::UploadStarted { window_start, digest, groups } => {
            Stored::UploadStarted { window_start: *window_start, digest: digest.as_str().into(), groups: *groups }
        }
        JournalRecord::UploadDone { window_start, digest } => {
            Stored::UploadDone { window_start: *window_start, digest: digest.as_str().into() }
        }
        JournalRecord::UploadAbandoned { window_start, digest, why } => Stored::UploadAbandoned {
            window_start: *window_start,
            digest: digest.as_str().into(),
            why: why.as_str().into(),
        },
        JournalRecord::WindowClosed { window_start } => Stored::WindowClosed { window_start: *window_start },
    })
}

/// Decodes a record and takes its memory out of the budget.
///
/// # Errors
/// [`postcard::Error`] if they are none, or more than one, or take more than is left.
pub fn decode(bytes: &[u8], budget: &Budget) -> Result<JournalRecord, postcard::Error> {
    let mut deserializer = postcard::Deserializer::from_bytes(bytes);
    let stored = budget.decode(&mut deserializer)?;
    if !deserializer.finalize()?.is_empty() {
        return Err(postcard::Error::DeserializeBadEncoding);
    }
    Ok(match stored {
        Stored::Window { hotkey, window_start, block_hash, randomness, use_drand } => {
            JournalRecord::Window(WindowContext {
                hotkey: Hotkey::from_bytes(hotkey),
                window_start,
                block_hash: block_hash.into_owned(),
                randomness: randomness.into_owned(),
                use_drand,
            })
        }
        Stored::Group { window_start, rollouts } => {
            JournalRecord::Group { window_start, rollouts: rollouts.into_owned().into() }
        }
        Stored::UploadStarted { window_start, digest, groups } => {
            JournalRecord::UploadStarted { window_start, digest: digest.into_owned(), groups }
        }
        Stored::UploadDone { window_start, digest } => {
            JournalRecord::UploadDone { window_start, digest: digest.into_owned() }
        }
        Stored::UploadAbandoned { window_start, digest, why } => {
            JournalRecord::UploadAbandoned { window_start, digest: digest.into_owned(), why: why.into_owned() }
        }
        Stored::WindowClosed { window_start } => JournalRecord::WindowClosed { window_start },
    })
}
