//! Scores over the last twelve windows, and the weights that a validator sets.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

/// Windows that count.
pub const ROLLING_WINDOWS: u64 = 12;
/// Share of all weight that goes to uid 0.
pub const BURNT_SHARE: f64 = 0.8;
/// The exponent on a miner's sum.
const EXPONENT: u32 = 4;

/// A validator's record of one miner's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowRecord {
    /// Distinct assignments among the checked successful rollouts.
    pub unique: u64,
    /// Whether the window was rejected.
    pub had_failure: bool,
}

/// The records of all miners, by hotkey and window.
pub type History = BTreeMap<String, BTreeMap<u64, WindowRecord>>;

/// Returns the weight of each of `miners` (address, uid) after `target_window`, in the same order.
///
/// Uid 0 gets [`BURNT_SHARE`] and the other miners share the rest in proportion to their scores. If nobody scored, uid
/// 0 gets everything. If uid 0 is not among `miners`, they share everything.
pub fn weights(history: &History, miners: &[(&str, u16)], target_window: u64) -> Vec<f64> {
    let raw: Vec<f64> = miners.iter().map(|(hotkey, _)| score(history.get(*hotkey), target_window)).collect();
    // Scores are whole numbers, so this sum is exact before it is rounded once, as Python's `math.fsum` is.
    let total = raw.iter().map(|score| *score as u128).fold(0, u128::saturating_add) as f64;
    let normalized: Vec<f64> = raw.iter().map(|score| if total > 0.0 { score / total } else { 0.0 }).collect();
    if miners.iter().all(|(_, uid)| *uid != 0) {
        return normalized;
    }
    let burnt = if total > 0.0 { BURNT_SHARE } else { 1.0 };
    // The reference rounds in this order: normalize over all, then scale everything but uid 0's weight to its share.
    let others: f64 = normalized.iter().zip(miners).filter(|(_, (_, uid))| *uid != 0).map(|(share, _)| share).sum();
    let factor = if others > 0.0 { (1.0 - BURNT_SHARE) / others } else { 0.0 };
    let weight = |(share, (_, uid)): (&f64, &(&str, u16))| if *uid == 0 { burnt } else { share * factor };
    normalized.iter().zip(miners).map(weight).collect()
}

/// Returns the weights as the chain keeps them, `(uid, u16)`: each divided by the largest one and rounded to a whole
/// number of 65535ths, zeros left out. Empty if no weight is above zero, and then there is nothing to set.
///
/// Source: `convert_weights_and_uids_for_emit` of the chain's Python SDK, which takes weights as float32.
pub fn emitted(weights: &[(u16, f64)]) -> Vec<(u16, u16)> {
    let single = |weight: f64| f64::from(weight as f32);
    let largest = weights.iter().map(|(_, weight)| single(*weight)).fold(0.0, f64::max);
    if largest <= 0.0 {
        return Vec::new();
    }
    let rounded = |weight: f64| (single(weight) / largest * f64::from(u16::MAX)).round_ties_even() as u16;
    weights.iter().map(|(uid, weight)| (*uid, rounded(*weight))).filter(|(_, value)| *value != 0).collect()
}

/// Returns the sum of the last twelve windows to the fourth power; zero if one of them had a failure.
pub fn score(windows: Option<&BTreeMap<u64, WindowRecord>>, target_window: u64) -> f64 {
    let Some(windows) = windows else { return 0.0 };
    let first = target_window.saturating_sub((ROLLING_WINDOWS - 1) * PROTOCOL.window_blocks);
    let recent = windows.range(first..=target_window).map(|(_, record)| record);
    if recent.clone().any(|record| record.had_failure) {
        return 0.0;
    }
    let unique: u128 = recent.map(|record| u128::from(record.unique)).sum();
    unique.saturating_pow(EXPONENT) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty windows from block 300 on, each with this many distinct solutions.
    fn windows(unique: u64) -> BTreeMap<u64, WindowRecord> {
        (0..20).map(|i| (window(i), WindowRecord { unique, had_failure: false })).collect()
    }

    const fn window(number: u64) -> u64 {
        300 + number * PROTOCOL.window_blocks
    }

    #[test]
    fn the_last_twelve_windows_count_to_the_fourth_power() {
        assert_eq!(score(Some(&windows(1)), window(19)), 12f64.powi(4));
        assert_eq!(score(Some(&windows(3)), window(19)), 36f64.powi(4));
        assert_eq!(score(Some(&windows(1)), window(4)), 5f64.powi(4), "fewer windows were seen");
        assert_eq!(score(Some(&windows(1)), 0), 0.0);
        assert_eq!(score(None, window(19)), 0.0);
    }

    #[test]
    fn a_failure_zeroes_twelve_windows_and_no_more() {
        let mut windows = windows(2);
        windows.insert(window(5), WindowRecord { unique: 2, had_failure: true });
        for target in 0..20 {
            let zeroed = (5..5 + ROLLING_WINDOWS).contains(&target);
            assert_eq!(score(Some(&windows), window(target)) == 0.0, zeroed, "window {target}");
        }
        assert_eq!(score(Some(&windows), window(17)), 24f64.powi(4), "all twelve count again");
    }

    #[test]
    fn windows_age_whether_or_not_anything_follows() {
        let one = BTreeMap::from([(window(0), WindowRecord { unique: 7, had_failure: false })]);
        assert_eq!(score(Some(&one), window(11)), 7f64.powi(4));
        assert_eq!(score(Some(&one), window(12)), 0.0);
    }

    #[test]
    fn weight_that_is_not_burnt_is_shared_by_score() {
        let record = |unique| BTreeMap::from([(window(0), WindowRecord { unique, had_failure: false })]);
        let history: History =
            [("one", 1), ("two", 2), ("idle", 0)].map(|(name, u)| (name.to_owned(), record(u))).into();
        let miners = [("burn", 0), ("one", 1), ("two", 2), ("idle", 3), ("unknown", 4)];
        let weights = weights(&history, &miners, window(0));
        let expected = [0.8, 0.2 / 17.0, 0.2 * 16.0 / 17.0, 0.0, 0.0];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
    }

    #[test]
    fn uid_0_gets_everything_where_nobody_scored() {
        assert_eq!(weights(&History::new(), &[("burn", 0), ("one", 1)], window(0)), [1.0, 0.0]);
        assert_eq!(weights(&History::new(), &[("one", 1), ("two", 2)], window(0)), [0.0, 0.0]);
        assert_eq!(weights(&History::new(), &[], window(0)), Vec::<f64>::new());
    }
}
