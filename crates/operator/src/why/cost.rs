//! Cost of a window that earned less than it could.

use grail_protocol::PROTOCOL;
use grail_verify::score::ROLLING_WINDOWS;
use serde::Serialize;

use super::{ConclusionKind, Finding};
use crate::weights::WeightReading;

/// One thing that happened in a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// Seconds since the window started.
    pub seconds: f64,
    /// The event.
    pub text: String,
}

impl Cause {
    /// Minutes and seconds since the window started, and what happened.
    pub fn line(&self) -> String {
        let seconds = self.seconds as u64;
        format!("{:>3}:{:02}  {}", seconds / 60, seconds % 60, self.text)
    }
}

/// Cost of a window in weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// The share of the weight that is lost, from 0 to 1: a weight sums over twelve windows.
    pub share: f64,
    /// In how many windows.
    pub windows: u64,
    /// The first block of the first window that is free of it.
    pub until_block: u64,
    /// The largest share of a validator's weights that was set before; none if none was read.
    pub weight_before: Option<f64>,
}

impl Cost {
    /// Returns the conclusion from how the window ended.
    pub(super) fn of(kind: ConclusionKind, window: u64, readings: &[WeightReading]) -> Finding<Self> {
        let share = match kind {
            ConclusionKind::Well => 0.0,
            ConclusionKind::NotUploaded | ConclusionKind::Missing => 1.0 / ROLLING_WINDOWS as f64,
            ConclusionKind::Rejected => 1.0,
            ConclusionKind::Replaced => return Finding::unknown("it depends on the file that is there now"),
            ConclusionKind::Unknown => return Finding::unknown("it follows from what became of the window"),
        };
        let before = readings.iter().rfind(|reading| reading.block < window + PROTOCOL.window_blocks);
        Finding::Known {
            value: Self {
                share,
                windows: if share > 0.0 { ROLLING_WINDOWS } else { 0 },
                until_block: window + ROLLING_WINDOWS * PROTOCOL.window_blocks,
                weight_before: before.and_then(WeightReading::most),
            },
        }
    }

    pub(super) fn text(&self) -> String {
        if self.windows == 0 {
            return "nothing".to_owned();
        }
        let share =
            if self.share >= 1.0 { "the whole weight".to_owned() } else { "about a twelfth of the weight".to_owned() };
        let before = match self.weight_before {
            None => String::new(),
            Some(0.0) => "; no validator had set a weight before".to_owned(),
            Some(weight) => {
                format!("; of the {:.3} % that was set before, {:.3} %", weight * 100.0, weight * self.share * 100.0)
            }
        };
        format!("{share} in each of {} windows, until block {}{before}", self.windows, self.until_block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_without_a_file_costs_a_twelfth_and_a_rejected_one_everything() {
        let readings = [WeightReading { block: 50, uid: 7, validators: vec![(1, 0.012)] }];
        let text = |kind| Cost::of(kind, 30, &readings).value().map(Cost::text);
        let lost = "about a twelfth of the weight in each of 12 windows, until block 390; \
                    of the 1.200 % that was set before, 0.100 %";
        assert_eq!(text(ConclusionKind::NotUploaded).as_deref(), Some(lost));
        assert!(text(ConclusionKind::Rejected).unwrap().starts_with("the whole weight in each of 12 windows"));
        assert_eq!(text(ConclusionKind::Well).as_deref(), Some("nothing"));
        assert_eq!(text(ConclusionKind::Unknown), None);
        assert_eq!(Cost::of(ConclusionKind::Missing, 30, &[]).value().unwrap().weight_before, None);
    }
}
