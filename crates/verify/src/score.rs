//! Scores over the last twelve windows, and the weights that a validator sets.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;

/// Windows that count.
pub const ROLLING_WINDOWS: u64 = 12;
/// Share of all weight that goes to uid 0.
pub const BURNT_SHARE: f64 = 0.8;
/// The exponent on a miner's sum.
const EXPONENT: i32 = 4;

/// What a validator remembers of one miner's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowRecord {
    /// Distinct assignments among the checked successful rollouts.
    pub unique: u64,
    /// Whether the window was rejected.
    pub had_failure: bool,
}

/// The records of all miners, by hotkey and window.
pub type History = BTreeMap<String, BTreeMap<u64, WindowRecord>>;

/// The weight of each of `miners` (address, uid) after `target_window`, in the same order.
pub fn weights(history: &History, miners: &[(&str, u16)], target_window: u64) -> Vec<f64> {
    let raw: Vec<f64> = miners.iter().map(|(hotkey, _)| score(history.get(*hotkey), target_window)).collect();
    let total: f64 = raw.iter().sum();
    let normalised: Vec<f64> = raw.iter().map(|score| if total > 0.0 { score / total } else { 0.0 }).collect();
    // In this order the reference rounds: normalise over all, then scale what is not uid 0's to its share.
    let others: f64 = normalised.iter().zip(miners).filter(|(_, (_, uid))| *uid != 0).map(|(share, _)| share).sum();
    let factor = if others > 0.0 { (1.0 - BURNT_SHARE) / others } else { 0.0 };
    let weight = |(share, (_, uid)): (&f64, &(&str, u16))| if *uid == 0 { BURNT_SHARE } else { share * factor };
    normalised.iter().zip(miners).map(weight).collect()
}

/// The sum of the last twelve windows to the fourth power; zero where one of them had a failure.
pub fn score(windows: Option<&BTreeMap<u64, WindowRecord>>, target_window: u64) -> f64 {
    let Some(windows) = windows else { return 0.0 };
    let first = target_window.saturating_sub((ROLLING_WINDOWS - 1) * PROTOCOL.window_blocks);
    let recent = windows.range(first..=target_window).map(|(_, record)| record);
    if recent.clone().any(|record| record.had_failure) {
        return 0.0;
    }
    (recent.map(|record| record.unique).sum::<u64>() as f64).powi(EXPONENT)
}
