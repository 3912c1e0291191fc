//! Reports for the operator: one receipt per window and miner, one report per window, and the outcome of setting
//! weights.

use grail_verify::{Check, Metrics, Reason, Verdict, WindowFacts};
use serde::{Deserialize, Serialize};

use crate::copies::SharedRollouts;

/// The validator's result for a miner in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every checked rollout is valid.
    Accepted,
    /// A check failed: no score for twelve windows.
    Rejected,
    /// The file is of another wallet or window, or empty: no score.
    Ignored,
    /// A type in the file is wrong where the reference throws: no score.
    Error,
    /// The bytes are no window file: no score.
    Unreadable,
    /// The bucket has no such file: no score.
    Missing,
    /// The file was written after the window's end, and that counts: no score.
    Late,
    /// The miner has committed no read key: no score.
    NotCommitted,
    /// The bucket refused, or did not answer in time: no score.
    Unreachable,
    /// Enough other miners were due: no score, and its turn comes sooner.
    NotSelected,
    /// The validator failed or had no time: no score, and no failure.
    #[default]
    NotJudged,
}

impl Outcome {
    /// Returns the name in receipts.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Outcome of one miner in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerReceipt {
    /// First block of the window.
    pub window_start: u64,
    /// The miner's address.
    pub hotkey: String,
    /// Its uid.
    pub uid: u16,
    /// The validator's outcome.
    pub outcome: Outcome,
    /// The check that failed.
    pub check: Option<Check>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// Position of the rollout that failed.
    pub rollout: Option<usize>,
    /// The reason as text, if there is no check.
    pub why: Option<String>,
    /// Remedy for the miner.
    pub remedy: Option<String>,
    /// Metrics of the window for the score.
    pub metrics: Metrics,
    /// Rollouts in the file, as far as they were counted.
    pub rollouts: usize,
    /// Size of the file in bytes.
    pub bytes: Option<u64>,
    /// Milliseconds by which the file was written after the window's end; negative before it.
    pub late_ms: Option<i64>,
}

impl MinerReceipt {
    pub(crate) fn new(window_start: u64, hotkey: &str, uid: u16, outcome: Outcome) -> Self {
        Self { window_start, hotkey: hotkey.to_owned(), uid, outcome, ..Self::default() }
    }

    pub(crate) fn because(self, why: impl ToString) -> Self {
        Self { why: Some(why.to_string()), ..self }
    }

    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        Self { remedy: Some(remedy.to_owned()), ..self }
    }

    /// The verdict.
    pub(crate) fn judged(mut self, verdict: Option<&Verdict>) -> Self {
        let Some(verdict) = verdict else {
            self.outcome = Outcome::Unreadable;
            return self.because("the object is no gzip or JSON of a window file").with_remedy("upload the file again");
        };
        self.remedy = verdict.remedy().map(str::to_owned);
        self.metrics = verdict.metrics();
        self.rollouts = rollouts(verdict);
        match verdict {
            Verdict::Accepted { .. } => self.outcome = Outcome::Accepted,
            Verdict::Rejected { failure, .. } => {
                self.outcome = Outcome::Rejected;
                (self.check, self.reason, self.rollout) = (Some(failure.check), Some(failure.reason), failure.rollout);
                self.why = failure.group.as_ref().map(|group| format!("group {group}"));
            }
            Verdict::Ignored(reason) => {
                self.outcome = Outcome::Ignored;
                self.why = Some(reason.name().to_owned());
            }
            Verdict::GaveUp(gave_up) => {
                self.outcome = Outcome::Error;
                self.why = Some(gave_up.why.to_string());
            }
        }
        self
    }
}

/// Returns rollouts in a file, as far as its verdict counts them.
fn rollouts(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Accepted { metrics, .. } => metrics.total,
        Verdict::Rejected { total, .. } => *total,
        _ => 0,
    }
}

/// A validator's finding about one miner's window, with all its facts.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgment {
    /// First block of the window.
    pub window_start: u64,
    /// The verdict; none if there was no file.
    pub verdict: Option<Verdict>,
    /// Rollouts in the file.
    pub rollouts: usize,
    /// The miner's weight after this window.
    pub weight: f64,
    /// The validator's facts.
    pub facts: WindowFacts,
}

impl Judgment {
    /// Creates a judgment with weight 0 until the weight is known.
    pub fn new(verdict: Option<Verdict>, facts: WindowFacts) -> Self {
        let count = verdict.as_ref().map_or(0, rollouts);
        Self { window_start: facts.window_start, verdict, rollouts: count, weight: 0.0, facts }
    }

    /// Returns the outcome's name: that of the verdict, or `missing`.
    pub fn outcome(&self) -> &'static str {
        self.verdict.as_ref().map_or("missing", Verdict::outcome)
    }
}

/// Outcome of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowReport {
    /// First block of the window.
    pub window_start: u64,
    /// Miners whose bucket holds a file.
    pub active: usize,
    /// Miners that were selected, at most 35.
    pub selected: usize,
    /// Each miner with a verdict, a reason, or the note that it was not selected.
    pub receipts: Vec<MinerReceipt>,
    /// The weight of each hotkey after this window: uid, address, share.
    pub weights: Vec<(u16, String, f64)>,
    /// Miners whose files share rollouts, with how many they share; without effect on weights.
    pub copies: Vec<SharedRollouts>,
    /// Why nobody was judged, if the validator did not get that far.
    pub missed: Option<String>,
}

/// Outcome of setting weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the variants' documentation says what the fields are")]
pub enum WeightsReport {
    /// The chain shows them: after which window, in which block, `(uid, u16)`.
    Set { window_start: u64, block: u64, weights: Vec<(u16, u16)> },
    /// They are not set; the reason.
    NotSet { window_start: u64, why: String },
}

/// A report to the operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// A miner was judged, or will not be.
    Miner(Box<MinerReceipt>),
    /// A window is done.
    Window(Box<WindowReport>),
    /// Weights were set, or not.
    Weights(WeightsReport),
    /// Something failed; the validator continues.
    Trouble(String),
}
