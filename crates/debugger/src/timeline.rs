//! Data of the timeline page: each window's history, gathered from events and actions as they pass.

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
    /// Wall milliseconds since 1970 at monotonic 0, from the first event.
    pub wall_offset_ms: i64,
    /// The windows in order.
    pub windows: Vec<WindowLanes>,
    /// Windows that were left out at the end, so that the page stays readable.
    pub left_out: usize,
    /// Time at which this build first differs from the tape.
    pub differs_at_ms: Option<u64>,
}

/// One window.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WindowLanes {
    /// First block.
    pub start: u64,
    /// Times of its first head and of its last event.
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
    /// Times at which the deadline was estimated, with the estimates.
    pub deadline: Vec<(u64, u64)>,
    /// When generation ended.
    pub closed_ms: Option<u64>,
    /// Reported problems: time, area and text.
    pub troubles: Vec<(u64, &'static str, String)>,
    /// Times at which the first block was replaced.
    pub replaced_ms: Vec<u64>,
    /// How it ended.
    pub receipt: Option<WindowReceipt>,
    /// A validator's verdict, if there was one.
    pub verdict: Option<Verdict>,
}

/// A question to the world, from asking to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The question.
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

/// One attempt at one group, with short field names, since there are thousands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
    /// Findings of the self-check, or the reason for the failure.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How an attempt at a group ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Not yet.
    #[default]
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
    /// The verdict: `accepted`, `rejected`, `ignored` or `error`.
    pub outcome: String,
    /// Rollouts that were checked.
    pub checked: usize,
    /// The valid rollouts.
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
