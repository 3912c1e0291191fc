//! Outcome of a window: everything that is known here, in the bucket and on the chain, side by side.
//!
//! Unknown values are shown as unknown, with the reason.

mod conclusion;
mod cost;
mod gather;
mod income;
mod page;
mod receipts;
mod story;

use serde::Serialize;

pub use self::conclusion::{Conclusion, ConclusionKind};
pub use self::cost::{Cause, Cost};
pub use self::gather::{FactsOf, JudgeFile, Sources, gather, weight_now};
pub use self::income::Income;
pub use self::page::page;
pub use self::receipts::{ChosenWindow, Receipt, chosen_window, hotkey_in, of_hotkey, receipts};
pub use self::story::{story, story_lines};

/// Most reasons for abandoned files that are listed one by one.
const REASONS_MAX: usize = 4;

/// A finding, or why it is unknown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Finding<T> {
    /// It was.
    Known {
        /// The value.
        value: T,
    },
    /// It was not.
    Unknown {
        /// Why.
        why: String,
    },
}

impl<T> Finding<T> {
    pub(super) fn unknown(why: impl ToString) -> Self {
        Self::Unknown { why: grail_terminal::printable(&why.to_string()) }
    }

    /// Returns the value, if known.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value } => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}

impl<T, E: ToString> From<Result<T, E>> for Finding<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Known { value },
            Err(why) => Self::unknown(why),
        }
    }
}

/// Everything about a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// Its first block.
    pub window: u64,
    /// Address of the hotkey.
    pub hotkey: Finding<String>,
    /// The miner's receipt.
    pub receipt: Finding<Receipt>,
    /// The journal's records of it.
    pub journal: Finding<JournalFacts>,
    /// The object in the bucket, read with the read key.
    pub object: Finding<ObjectFacts>,
    /// Our verifier's verdict.
    pub verdict: Finding<VerdictFacts>,
    /// Our weight by now, over all windows.
    pub weight: Finding<WeightFacts>,
    /// For how long a rejection costs.
    pub exclusion: Finding<Exclusion>,
    /// Its history, oldest first.
    pub causes: Finding<Vec<Cause>>,
    /// Its cost in weight.
    pub cost: Finding<Cost>,
    /// Its income, compared with this machine's best window.
    pub income: Finding<Income>,
    /// The conclusion.
    pub conclusion: Conclusion,
}

/// Records in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JournalFacts {
    /// Groups that were clean.
    pub groups: usize,
    /// Digests of files whose upload started, with their groups.
    pub started: Vec<(String, usize)>,
    /// Digests of files that were read back.
    pub done: Vec<String>,
    /// Digests of files that were given up, with the reason.
    pub abandoned: Vec<(String, String)>,
    /// Whether the receipt was given.
    pub closed: bool,
}

impl JournalFacts {
    /// Returns the reasons for abandoned files, each once with its count, in the order of first appearance.
    fn reasons(&self) -> Vec<String> {
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for (_, why) in &self.abandoned {
            match counted.iter_mut().find(|(known, _)| known == why) {
                Some((_, times)) => *times += 1,
                None => counted.push((why, 1)),
            }
        }
        let further = counted.len().saturating_sub(REASONS_MAX);
        let reasons = counted.iter().take(REASONS_MAX).map(|(why, times)| format!("{times} × {why}"));
        reasons.chain((further > 0).then(|| format!("{further} other reasons"))).collect()
    }
}

/// Object in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectFacts {
    /// Its key.
    pub key: String,
    /// Whether there is an object.
    pub exists: bool,
    /// Its size.
    pub bytes: usize,
    /// Its sha256 in hex.
    pub sha256: Option<String>,
    /// Whether that matches the receipt; none without a receipt of an upload.
    pub as_receipt: Option<bool>,
}

/// Verdict of our verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictFacts {
    /// `accepted`, `rejected`, `ignored` or `error`.
    pub outcome: String,
    /// Rollouts in the file that were checked.
    pub rollouts: usize,
    /// The failed check and its reason.
    pub failure: Option<String>,
    /// The remedy.
    pub remedy: Option<String>,
}

/// Weights that validators have set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightFacts {
    /// Our uid.
    pub uid: u16,
    /// Each validator's uid, with the share of its weights that is ours.
    pub validators: Vec<(u16, f64)>,
}

/// For how long a rejection costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exclusion {
    /// Whether the window excludes the miner from weights for the next eleven.
    pub excludes: bool,
    /// Windows, the present one among them, until it no longer counts.
    pub windows_left: u64,
    /// The first block of the first window that is free of it.
    pub until_block: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_in_their_order() {
        let facts = |reasons: &[&str]| JournalFacts {
            abandoned: reasons.iter().map(|why| ("digest".to_owned(), (*why).to_owned())).collect(),
            ..JournalFacts::default()
        };
        assert_eq!(facts(&[]).reasons(), [""; 0]);
        assert_eq!(facts(&["503", "reset", "503"]).reasons(), ["2 × 503", "1 × reset"]);
        assert_eq!(facts(&["a", "b", "c", "d", "e", "f"]).reasons().last().unwrap(), "2 other reasons");
    }
}
