//! Weights on the chain in each window: a chain shows only the present weights, so the miner keeps earlier ones.

mod watch;

use std::io::Write;
use std::path::Path;

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use grail_folder as folder;

const FILE: &str = "weights.jsonl";

pub use watch::read_weights;

/// Weights that validators had set at a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightReading {
    /// The newest block.
    pub block: u64,
    /// Our uid.
    pub uid: u16,
    /// Each validator's uid, with the share of its weights that is ours.
    pub validators: Vec<(u16, f64)>,
}

impl WeightReading {
    /// Keeps it in the data folder.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn keep(&self, data_folder: &Path) -> std::io::Result<()> {
        let mut file = folder::open(&data_folder.join(FILE), folder::options().append(true).create(true))?;
        // In one write, so that a line is complete or missing.
        file.write_all(format!("{}\n", serde_json::to_string(self)?).as_bytes())
    }

    /// Returns the largest share that a validator had set; none if none had set any.
    pub fn most(&self) -> Option<f64> {
        self.validators.iter().map(|(_, share)| *share).reduce(f64::max)
    }
}

/// Returns shares without the sign of zero: Rust's sum of no numbers is -0, which would be shown as "-0.000 %".
pub(crate) fn unsigned(mut shares: Vec<(u16, f64)>) -> Vec<(u16, f64)> {
    shares.iter_mut().for_each(|(_, share)| *share += 0.0);
    shares
}

/// Returns every reading in a data folder, in order; none if none was kept. A line that a crash cut is left out.
pub fn readings(data_folder: &Path) -> Vec<WeightReading> {
    let text = folder::read(&data_folder.join(FILE)).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns the first reading after validators had a window's time to judge this one and to set weights; they start when
/// it is over. None if nothing was read in the two windows after that, so that no later weight is taken for this
/// window's.
pub fn set_after(readings: &[WeightReading], window: u64) -> Option<&WeightReading> {
    let from = window + 2 * PROTOCOL.window_blocks;
    let until = from + 2 * PROTOCOL.window_blocks;
    readings.iter().filter(|reading| (from..until).contains(&reading.block)).min_by_key(|reading| reading.block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(block: u64, share: f64) -> WeightReading {
        WeightReading { block, uid: 7, validators: vec![(1, share), (2, share / 2.0)] }
    }

    #[test]
    fn no_weight_is_shown_without_a_sign() {
        let nothing: f64 = Vec::<f64>::new().iter().sum();
        let shown =
            unsigned(vec![(2, nothing), (3, 0.25)]).into_iter().map(|(_, share)| format!("{:.1} %", share * 100.0));
        assert_eq!(shown.collect::<Vec<_>>(), ["0.0 %", "25.0 %"]);
    }

    #[test]
    fn a_window_has_the_first_weight_read_once_it_could_be_judged() {
        let all = [reading(59, 0.1), reading(95, 0.3), reading(91, 0.2), reading(400, 0.4)];
        assert_eq!(set_after(&all, 30), Some(&all[2]));
        assert_eq!(set_after(&all, 0), Some(&all[2]));
        assert_eq!(set_after(&all, 60), None, "a weight of long after is not this window's");
        assert_eq!(set_after(&[], 30), None);
        assert_eq!(
            (all[0].most(), WeightReading { validators: Vec::new(), ..reading(1, 0.0) }.most()),
            (Some(0.1), None)
        );
    }

    #[test]
    fn readings_are_kept_in_order_and_a_torn_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(readings(folder.path()).is_empty());
        reading(60, 0.25).keep(folder.path()).unwrap();
        reading(90, 0.5).keep(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"block\": 12")).unwrap();
        assert_eq!(readings(folder.path()), [reading(60, 0.25), reading(90, 0.5)]);
    }
}
