//! A validator's metrics as a file in Prometheus' text format, for the text file collector of a node exporter.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use grail_validator::{Outcome, Report, WeightsReport};

/// Counts reports, and writes a file after each window.
#[derive(Debug, Default)]
pub struct ValidatorMetrics {
    file: Option<PathBuf>,
    outcomes: BTreeMap<Outcome, u64>,
    windows: u64,
    missed: u64,
    troubles: u64,
    weights_set: u64,
    weights_not_set: u64,
    last_window: u64,
    last_weights_block: u64,
    active: usize,
    selected: usize,
}

impl ValidatorMetrics {
    /// Creates counters at zero; without a file, nothing is written.
    pub fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), ..Self::default() }
    }

    /// Counts a report.
    ///
    /// # Errors
    /// The operating system's error if the file cannot be written.
    pub fn count(&mut self, report: &Report) -> io::Result<()> {
        match report {
            Report::Miner(receipt) => *self.outcomes.entry(receipt.outcome).or_default() += 1,
            Report::Trouble(_) => self.troubles += 1,
            Report::Weights(WeightsReport::Set { block, .. }) => {
                self.weights_set += 1;
                self.last_weights_block = *block;
            }
            Report::Weights(WeightsReport::NotSet { .. }) => self.weights_not_set += 1,
            Report::Window(window) => {
                self.windows += 1;
                self.missed += u64::from(window.missed.is_some());
                (self.last_window, self.active, self.selected) = (window.window_start, window.active, window.selected);
            }
        }
        match (&self.file, report) {
            (Some(file), Report::Window(_) | Report::Weights(_)) => self.write(file),
            _ => Ok(()),
        }
    }

    /// A reader of the file never sees half of it.
    fn write(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("part");
        std::fs::write(&part, self.text())?;
        std::fs::rename(&part, file)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP grail_validator_{name} {help}\n# TYPE grail_validator_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "grail_validator_{name}{labels} {value}");
            }
        };
        let one = |value: u64| [(String::new(), value)];
        let outcomes: Vec<(String, u64)> = self
            .outcomes
            .iter()
            .map(|(outcome, count)| (format!("{{outcome=\"{}\"}}", outcome.name()), *count))
            .collect();
        add("miner_windows_total", "counter", "Windows of miners by what the validator made of them", &outcomes);
        add("windows_total", "counter", "Windows that are done", &one(self.windows));
        add("windows_missed_total", "counter", "Windows in which nobody could be judged", &one(self.missed));
        add("troubles_total", "counter", "Failures of chain, beacon, device or disk", &one(self.troubles));
        add("weights_set_total", "counter", "Weights that the chain shows", &one(self.weights_set));
        add("weights_not_set_total", "counter", "Times that weights could not be set", &one(self.weights_not_set));
        add("last_window", "gauge", "First block of the newest window that is done", &one(self.last_window));
        add("last_weights_block", "gauge", "Block in which weights were last set", &one(self.last_weights_block));
        add("active_miners", "gauge", "Miners with a file in the newest window", &one(self.active as u64));
        add("selected_miners", "gauge", "Miners that were selected in the newest window", &one(self.selected as u64));
        text
    }
}

#[cfg(test)]
mod tests {
    use grail_validator::WindowReport;

    use super::*;

    #[test]
    fn each_window_is_written_whole_with_what_was_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grail.prom");
        let mut metrics = ValidatorMetrics::new(Some(&file));
        metrics.count(&Report::Trouble("x".to_owned())).unwrap();
        assert!(!file.exists());
        let window = WindowReport {
            window_start: 60,
            active: 3,
            selected: 2,
            receipts: Vec::new(),
            weights: Vec::new(),
            copies: Vec::new(),
            missed: None,
        };
        metrics.count(&Report::Window(Box::new(window))).unwrap();
        let set = WeightsReport::Set { window_start: 60, block: 91, weights: Vec::new() };
        metrics.count(&Report::Weights(set)).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for line in
            ["troubles_total 1", "windows_total 1", "last_window 60", "last_weights_block 91", "active_miners 3"]
        {
            assert!(text.contains(&format!("\ngrail_validator_{line}\n")), "{text}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
