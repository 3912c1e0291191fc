//! The figures of one window as a row, for sinks that plot histories.

use grail_miner::machine::WindowReceipt;
use grail_miner::ports::Now;
use serde_json::{Map, Value, json};

use super::{AREAS, Metrics, REWARD_BUCKETS, ratio};
use crate::state::{MinerState, WindowState};

/// The chain's block, as x axis.
pub(crate) const BLOCK: &str = "block_number";
/// First block of the window, as x axis.
pub(crate) const WINDOW: &str = "window_number";
/// When it was, in seconds since 1970.
pub(crate) const TIMESTAMP: &str = "_timestamp";

/// Figures by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Map<String, Value>);

impl Row {
    fn new(wall_ms: u64, block: u64, window: u64) -> Self {
        let axes = [(TIMESTAMP, json!(wall_ms as f64 / 1000.0)), (BLOCK, json!(block)), (WINDOW, json!(window))];
        Self(axes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn count(&mut self, name: &str, count: u64) {
        self.value(name, json!(count));
    }

    /// A number that is not known is left out.
    fn number(&mut self, name: &str, number: f64) {
        if number.is_finite() {
            self.value(name, json!(number));
        }
    }

    fn value(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Metrics {
    /// Returns everything of a window that is over, under the reference's names if it has one.
    pub(super) fn row(&self, now: Now, state: &MinerState, receipt: &WindowReceipt) -> Row {
        let (handles, window) = (&self.handles, state.window(receipt.window_start));
        let mut row = Row::new(now.wall_ms, state.head_block().unwrap_or_default(), receipt.window_start);
        let counters = [
            ("mining.successful_rollouts", &handles.successful_rollouts),
            ("mining.failed_rollouts", &handles.failed_rollouts),
            ("mining.rollouts_generated", &handles.rollouts_generated),
            ("mining.problems_processed", &handles.problems_processed),
            ("mining.windows_completed", &handles.windows_completed),
            ("mining.successful_uploads", &handles.successful_uploads),
            ("mining.failed_uploads", &handles.failed_uploads),
            ("mining.empty_windows", &handles.empty_windows),
            ("grail.completion_tokens", &handles.tokens),
        ];
        counters.into_iter().for_each(|(name, counter)| row.count(name, counter.get()));
        for area in AREAS {
            let count = handles.trouble.get_or_create(&[("area", area.name())]).get();
            row.count(&format!("grail.trouble.{}", area.name()), count);
        }
        let gauges = [
            ("mining.rollouts_per_second", &handles.rollouts_per_second),
            ("mining.success_rate", &handles.success_ratio),
            ("mining.window_duration", &handles.window_duration),
            ("mining.total_rollouts_in_window", &handles.window_rollouts),
            ("mining.final_success_rate", &handles.final_success_ratio),
            ("mining.average_reward", &handles.average_reward),
            ("mining.uploaded_rollouts", &handles.uploaded_rollouts),
            ("grail.expected_score", &handles.expected_score),
            ("grail.window_deadline_slack_seconds", &handles.slack),
        ];
        gauges.into_iter().for_each(|(name, gauge)| row.number(name, gauge.get()));
        row.number("mining.upload_duration", state.last_upload_ms.map_or(f64::NAN, |ms| ms as f64 / 1000.0));
        let tokens = window.map(WindowState::sums).unwrap_or_default().tokens;
        let duration = handles.window_duration.get();
        row.number("grail.tokens_per_second", ratio(tokens as f64, duration));
        row.count(
            "grail.window_rejections",
            receipt.self_check_rejections.values().map(|count| u64::from(*count)).sum(),
        );
        let rewards: Vec<f64> =
            window.into_iter().flat_map(WindowState::clean_groups).flat_map(|group| group.rewards.clone()).collect();
        row.value("mining.reward_distribution", histogram(&rewards, &REWARD_BUCKETS));
        row
    }
}

/// Returns a histogram as Weights & Biases has it: one edge more than there are counts. What lies beyond the bounds
/// counts in the bucket next to them.
fn histogram(values: &[f64], bounds: &[f64]) -> Value {
    let last = bounds.len() - 2;
    let mut counts = vec![0u64; last + 1];
    for value in values {
        let bucket = bounds.iter().skip(1).take_while(|bound| value > bound).count();
        counts[bucket.min(last)] += 1;
    }
    json!({ "_type": "histogram", "values": counts, "bins": bounds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_once() {
        let counted = histogram(&[-9.0, 0.0, 0.1, 0.5, 0.6, 9.0], &[0.0, 0.5, 1.0]);
        assert_eq!(counted, json!({ "_type": "histogram", "values": [4, 2], "bins": [0.0, 0.5, 1.0] }));
        assert_eq!(histogram(&[], &[0.0, 1.0])["values"], json!([0]));
    }

    #[test]
    fn unknown_values_are_left_out() {
        let mut row = Row::new(1500, 7, 0);
        row.number("a", f64::NAN);
        row.number("b", 0.5);
        assert_eq!(Value::Object(row.0), json!({ "_timestamp": 1.5, "block_number": 7, "window_number": 0, "b": 0.5 }));
    }
}
