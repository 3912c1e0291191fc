//! An estimate: what a GPU of a stated speed would earn among rivals, window by window, without making a token.
//!
//! Whole windows are drawn from the speeds that the operator states, then chosen, sampled, scored and weighed by the very
//! rules of the miner and the validator. Streams are shared between variants, so that two results differ by what was varied
//! alone.

mod field;
mod gpu;
mod window;

use grail_miner::policy::UploadPolicy;

use field::Field;
pub use gpu::{Gpu, GpuError};
use window::MinedWindow;

/// Inputs of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Seed of all randomness.
    pub seed: u64,
    /// Windows to live through.
    pub windows: u64,
    /// Rival miners.
    pub rivals: u32,
    /// The GPU.
    pub gpu: Gpu,
    /// Blocks before the window's end that belong to the upload.
    pub safety_blocks: u64,
    /// How many of the clean groups are uploaded.
    pub policy: UploadPolicy,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Clean groups of each window.
    pub groups: Vec<usize>,
    /// Our weight after each window; 0.2 is what all miners have together.
    pub weights: Vec<f64>,
    /// Distinct solutions that the validator counted, of the windows in which it checked us.
    pub unique_mean: f64,
    /// Share of the windows whose last file was confirmed in time; in the others an earlier file counts, or none.
    pub last_file_share: f64,
    /// Share of the windows in which some file was uploaded and accepted.
    pub clean_share: f64,
    /// Our place by the mean weight; 1 is the best.
    pub place: usize,
}

/// A variant and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Name of the varied setting.
    pub name: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// As asked.
    pub plain: Outcome,
    /// Half to one and a half times the speed.
    pub speeds: Vec<Variant>,
    /// One to five safety blocks.
    pub safety: Vec<Variant>,
    /// Both policies.
    pub policies: Vec<Variant>,
}

/// The speeds that are tried, in percent of the stated one.
pub const SPEEDS: [u64; 5] = [50, 80, 100, 120, 150];

impl Estimate {
    /// Simulates as asked, and with speed, safety margin and policy varied.
    pub fn report(&self) -> Report {
        let variant = |name: String, varied: Self| Variant { name, outcome: varied.outcome() };
        let faster = |percent: u64| Self { gpu: self.gpu.at_speed(percent), ..*self };
        let policies = [("score", UploadPolicy::Score), ("all", UploadPolicy::All)];
        Report {
            plain: self.outcome(),
            speeds: SPEEDS.map(|percent| variant(format!("{percent} %"), faster(percent))).to_vec(),
            safety: (1..=5).map(|n| variant(n.to_string(), Self { safety_blocks: n, ..*self })).collect(),
            policies: policies.map(|(name, policy)| variant(name.to_owned(), Self { policy, ..*self })).to_vec(),
        }
    }

    /// Simulates once.
    pub fn outcome(&self) -> Outcome {
        let mined: Vec<MinedWindow> = (0..self.windows).map(|window| MinedWindow::live(self, window)).collect();
        let standing = Field::new(self).weigh(&mined);
        let share = |count: usize| count as f64 / self.windows.max(1) as f64;
        Outcome {
            clean_share: share(mined.iter().filter(|mined| mined.uploaded > 0).count()),
            last_file_share: share(mined.iter().filter(|mined| mined.last_file_arrived).count()),
            groups: mined.into_iter().map(|mined| mined.clean).collect(),
            weights: standing.weights,
            unique_mean: standing.unique_mean,
            place: standing.place,
        }
    }
}

impl Outcome {
    /// Clean groups per window.
    pub fn groups_mean(&self) -> f64 {
        self.groups.iter().sum::<usize>() as f64 / self.groups.len().max(1) as f64
    }

    /// Returns the quantile of clean groups per window.
    pub fn groups_quantile(&self, share: f64) -> usize {
        let mut sorted = self.groups.clone();
        sorted.sort_unstable();
        let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(at).copied().unwrap_or(0)
    }

    /// Mean weight once twelve windows count.
    pub fn weight_mean(&self) -> f64 {
        field::settled_mean(&self.weights)
    }
}
