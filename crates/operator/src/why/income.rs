//! Income of a window, compared with this machine's best one.

use serde::Serialize;

use super::Receipt;

/// How many windows before and after may be the best one: those of a day.
const WINDOWS: usize = 240;

/// Income of a window, in groups.
///
/// A score is the fourth power of distinct solutions, so a share of 0.9 is 0.66 of the weight. The simulator knows what a
/// perfect miner would have had; a miner in the field is compared with its own best window, up to a day away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Income {
    /// Groups that a validator can read.
    pub groups: u64,
    /// Clean groups of the best window.
    pub groups_best: u64,
}

impl Income {
    /// Returns the income of a window; none if it has no receipt, or if no window near it had a clean group.
    pub fn of(receipts: &[Receipt], window: u64) -> Option<Self> {
        let at = receipts.iter().rposition(|receipt| receipt.window == window)?;
        let receipt = &receipts[at];
        let near = &receipts[at.saturating_sub(WINDOWS)..receipts.len().min(at + WINDOWS)];
        let is_comparable = |other: &&Receipt| other.hotkey == receipt.hotkey && other.network == receipt.network;
        let groups_best = near.iter().filter(is_comparable).map(|other| other.groups_clean).max()?;
        let is_uploaded = receipt.outcome == "uploaded";
        (groups_best > 0).then_some(Self { groups: if is_uploaded { receipt.groups_uploaded } else { 0 }, groups_best })
    }

    /// Returns the share of the best window.
    pub fn share(self) -> f64 {
        (self.groups as f64 / self.groups_best as f64).min(1.0)
    }

    pub(super) fn text(&self) -> String {
        let share = self.share();
        format!(
            "{share:.2} of this machine's best window ({} of {} groups), which is {:.2} of its score",
            self.groups,
            self.groups_best,
            share.powi(4)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(window: u64, hotkey: &str, outcome: &str, clean: u64, uploaded: u64) -> Receipt {
        let text = format!(
            r#"{{"hotkey": "{hotkey}", "window": {window}, "ended_at": 0.0, "outcome": "{outcome}", "why": null,
                "groups_clean": {clean}, "groups_uploaded": {uploaded}, "rollouts_uploaded": 0, "slack_seconds": null,
                "sha256": null, "with_beacon": true, "self_check_rejections": {{}}, "engine_failures": 0}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_window_is_compared_with_the_best_one_of_its_own_hotkey() {
        let receipts = [
            receipt(30, "a", "uploaded", 100, 98),
            receipt(30, "b", "uploaded", 500, 500),
            receipt(60, "a", "uploaded", 90, 50),
            receipt(90, "a", "lost", 80, 0),
        ];
        let of = |window| Income::of(&receipts, window).map(|income| (income.groups, income.groups_best));
        assert_eq!((of(60), of(90), of(120)), (Some((50, 100)), Some((0, 100)), None));
        // One half, to the fourth power.
        let text = Income::of(&receipts, 60).unwrap().text();
        assert_eq!(text, "0.50 of this machine's best window (50 of 100 groups), which is 0.06 of its score");
        assert_eq!(Income::of(&[receipt(30, "a", "nothing_ready", 0, 0)], 30), None);
    }

    #[test]
    fn a_best_window_more_than_a_day_away_does_not_count() {
        let mut receipts: Vec<Receipt> = (0..300).map(|at| receipt(at * 30, "a", "uploaded", 10, 10)).collect();
        receipts[0] = receipt(0, "a", "uploaded", 1_000, 1_000);
        assert_eq!(Income::of(&receipts, 240 * 30).unwrap().groups_best, 1_000);
        assert_eq!(Income::of(&receipts, 241 * 30).unwrap().groups_best, 10);
    }
}
