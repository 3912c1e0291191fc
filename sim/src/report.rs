//! Result of a simulation.

use std::collections::BTreeMap;
use std::rc::Rc;

use grail_miner::machine::WindowReceipt;
use grail_validator::Judgment;
use grail_verify::Verdict;

use crate::faults::FaultKind;
use crate::health::Health;
use crate::income::Income;

/// One window, from the miner's and the validator's view.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// The miner's receipt.
    pub receipt: WindowReceipt,
    /// The validator's judgment.
    pub judgment: Judgment,
    /// Judgments of further validators.
    pub further: Vec<Judgment>,
    /// Stretches without faults.
    pub health: Health,
    /// Its income, compared with a perfect miner on the same engine.
    pub income: Income,
    /// The file in the bucket when the window was judged; passed to `progress`, and not kept in the report.
    pub file: Option<Rc<Vec<u8>>>,
}

/// The whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct SimReport {
    /// Every window in order.
    pub windows: Vec<WindowResult>,
    /// The rolling hash over every event and action.
    pub trace_hash: String,
    /// The trace's lines, if they were to be kept.
    pub trace: Vec<String>,
    /// How long the world ran, in virtual milliseconds.
    pub virtual_ms: u64,
    /// Violations of the oracles.
    pub violations: Vec<String>,
    /// How often each rare branch was taken.
    pub marks: BTreeMap<String, u64>,
    /// How often each fault had an effect.
    pub effects: BTreeMap<FaultKind, u64>,
    /// Events that the miner handled and effects that it had.
    pub steps: u64,
}

impl SimReport {
    /// Returns the income of all windows.
    pub fn income(&self) -> Income {
        self.windows.iter().fold(Income::default(), |sum, window| sum.and(window.income))
    }
}

impl WindowResult {
    /// Returns rollouts that a validator checked, and how many of them were valid.
    pub fn checked_and_accepted(&self) -> (usize, usize) {
        match &self.judgment.verdict {
            Some(Verdict::Accepted { metrics, .. }) => (metrics.checked, metrics.valid),
            Some(Verdict::Rejected { checked, .. }) => (*checked, 0),
            _ => (0, 0),
        }
    }

    /// Valid rollouts that solved their problem, and distinct solutions among them.
    pub fn successful_and_unique(&self) -> (usize, usize) {
        let metrics = self.judgment.verdict.as_ref().map(Verdict::metrics).unwrap_or_default();
        (metrics.successful, metrics.unique)
    }
}
