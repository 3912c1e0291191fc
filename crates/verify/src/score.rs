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
    let raw: Vec<f64> = miners
        .iter()
        .map(|(hotkey, uid)| if *uid == 0 { 0.0 } else { score(history.get(*hotkey), target_window) })
        .collect();
    let total: f64 = raw.iter().sum();
    let shared = 1.0 - BURNT_SHARE;
    raw.iter()
        .zip(miners)
        .map(|(score, (_, uid))| match uid {
            0 => BURNT_SHARE,
            _ if total > 0.0 => score / total * shared,
            _ => 0.0,
        })
        .collect()
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
