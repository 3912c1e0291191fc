//! Estimates of durations that forget: one slow answer must not stop mining permanently.

use serde::{Deserialize, Serialize};

/// A duration learned from observations; without new ones it decays toward its initial value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Estimate {
    initial_ms: u64,
    value_ms: u64,
    observed_at_ms: u64,
    half_life_ms: u64,
}

impl Estimate {
    /// Creates an estimate that starts at `initial_ms`, and whose distance from it halves every `half_life_ms`.
    pub(super) const fn new(initial_ms: u64, half_life_ms: u64) -> Self {
        Self { initial_ms, value_ms: initial_ms, observed_at_ms: 0, half_life_ms }
    }

    /// Returns the estimate at a monotonic time.
    pub(super) fn at(&self, now_ms: u64) -> u64 {
        // The estimate of the Python miner changes only when a group is made, so one slow group stops it forever. This
        // one decays while nothing happens.
        let halvings = now_ms.saturating_sub(self.observed_at_ms) / self.half_life_ms;
        let distance = self.value_ms.abs_diff(self.initial_ms);
        // A shift by 64 bits or more would overflow.
        let left = if halvings < 64 { distance >> halvings } else { 0 };
        if self.value_ms >= self.initial_ms { self.initial_ms + left } else { self.initial_ms - left }
    }

    /// Learns from one duration that ended now, as [`Estimate::observe`] does, except that the first one counts whole:
    /// the initial value is only a guess.
    pub(super) fn observe_measured(&mut self, duration_ms: u64, now_ms: u64) {
        if self.observed_at_ms == 0 {
            self.value_ms = duration_ms;
            self.observed_at_ms = now_ms;
        } else {
            self.observe(duration_ms, now_ms);
        }
    }

    /// Learns from one duration that ended now: a rise counts half, a fall a quarter.
    pub(super) fn observe(&mut self, duration_ms: u64, now_ms: u64) {
        let old = self.at(now_ms);
        // Too short an estimate can cost the window, too long a one costs some groups.
        self.value_ms = if duration_ms > old { old + (duration_ms - old) / 2 } else { old - (old - duration_ms) / 4 };
        self.observed_at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_forgotten() {
        let mut estimate = Estimate::new(10_000, 60_000);
        estimate.observe(600_000, 1_000);
        assert_eq!(estimate.at(1_000), 305_000);
        assert_eq!(estimate.at(61_000), 157_500);
        assert!(estimate.at(1_000 + 12 * 60_000) < 10_100);
        assert_eq!(estimate.at(u64::MAX), 10_000);
    }

    #[test]
    fn the_first_measurement_counts_whole() {
        let mut estimate = Estimate::new(10_000, 60_000);
        estimate.observe_measured(2_000, 1_000);
        assert_eq!(estimate.at(1_000), 2_000);
        estimate.observe_measured(4_000, 2_000);
        assert_eq!(estimate.at(2_000), 3_000);
    }

    #[test]
    fn observations_pull_it_both_ways() {
        let mut estimate = Estimate::new(10_000, 60_000);
        for i in 0..50 {
            estimate.observe(2_000, i);
        }
        assert!(estimate.at(50) < 2_100);
        estimate.observe(4_000, 50);
        assert!(estimate.at(50) > 2_900);
    }

    #[test]
    fn a_fast_answer_is_forgotten_as_a_slow_one_is() {
        let mut estimate = Estimate::new(10_000, 60_000);
        estimate.observe(2_000, 1_000);
        assert_eq!(estimate.at(1_000), 8_000);
        assert_eq!(estimate.at(61_000), 9_000);
        // After so many half-lives nothing is left, however far it was.
        estimate.observe(u64::MAX / 2, 61_000);
        assert_eq!(estimate.at(61_000 + 64 * 60_000), 10_000);
    }
}
