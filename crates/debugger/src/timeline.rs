//! What happened when in each window, gathered from the events and actions as they pass: the data of the timeline page.

mod gather;
mod page;

use std::collections::BTreeMap;

use grail_miner::machine::WindowReceipt;
use serde::Serialize;

pub use gather::Gatherer;
pub use page::{Page, Source};

/// Attempts at groups that a page shows at most; later windows are left out, and it says so.
const ATTEMPTS_MAX: usize = 40_000;
/// Everything else of one kind in one window.
const MARKS_MAX: usize = 2_000;
/// Characters of one text.
const TEXT_MAX: usize = 400;

/// A run, window by window. All times are monotonic milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// Wall milliseconds since 1970 at monotonic 0, as the first event tells it.
    pub wall_offset_ms: i64,
    /// The windows in order.
    pub windows: Vec<WindowLanes>,
    /// Windows that were left out at the end, so that the page stays readable.
    pub left_out: usize,
    /// When this build first does something else than the tape.
    pub differs_at_ms: Option<u64>,
}

/// One window.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WindowLanes {
    /// First block.
    pub start: u64,
    /// When its first head was seen, and when the last thing of it happened.
    pub from_ms: u64,
    /// See `from_ms`.
    pub to_ms: u64,
    /// Heads: when, and which block.
    pub heads: Vec<(u64, u64)>,
    /// Readings of the first block's hash.
    pub hash: Vec<Call>,
    /// Beacon rounds.
    pub beacon: Vec<Call>,
    /// Attempts at groups.
    pub groups: Vec<Attempt>,
    /// Puts, read-backs and removals.
    pub upload: Vec<Call>,
    /// When the deadline was estimated, and for when.
    pub deadline: Vec<(u64, u64)>,
    /// When generation ended.
    pub closed_ms: Option<u64>,
    /// What was reported as trouble: when, where and what.
    pub troubles: Vec<(u64, &'static str, String)>,
    /// How often the first block was replaced: when.
    pub replaced_ms: Vec<u64>,
    /// How it ended.
    pub receipt: Option<WindowReceipt>,
    /// What a validator said, where there was one.
    pub verdict: Option<Verdict>,
}

/// A question to the world, from asking to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// What was asked.
    pub what: String,
    /// When it was asked.
    pub from_ms: u64,
    /// When it was answered.
    pub to_ms: Option<u64>,
    /// Whether the answer was a good one.
    pub is_good: bool,
    /// The answer.
    pub answer: String,
}

/// One attempt at one group, in few letters, since there are thousands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Index of the group.
    #[serde(rename = "i")]
    pub index: u32,
    /// How often it was tried before.
    #[serde(rename = "a")]
    pub attempt: u32,
    /// How often the window's first block was replaced before.
    #[serde(rename = "g")]
    pub generation: u32,
    /// When it was ordered.
    #[serde(rename = "f")]
    pub from_ms: u64,
    /// When it was over.
    #[serde(rename = "t")]
    pub to_ms: Option<u64>,
    /// How.
    #[serde(rename = "e")]
    pub end: End,
    /// When the journal had it.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub durable_ms: Option<u64>,
    /// Rollouts that solved their problem.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub successes: Option<usize>,
    /// What the self-check found, or why it failed.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How an attempt at a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Not yet.
    Open,
    /// The self-check found nothing.
    Clean,
    /// The self-check found something.
    Rejected,
    /// The engine failed.
    Failed,
    /// It was given up.
    Canceled,
}

/// A validator's word on a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// `accepted`, `rejected` and the like.
    pub outcome: String,
    /// Rollouts that were checked.
    pub checked: usize,
    /// Those that were valid.
    pub accepted: usize,
    /// The weight that followed.
    pub weight: f64,
}

impl Timeline {
    /// Adds what a validator said, by the windows' first blocks.
    pub fn judged(&mut self, mut verdicts: BTreeMap<u64, Verdict>) {
        for window in &mut self.windows {
            window.verdict = verdicts.remove(&window.start);
        }
    }
}
