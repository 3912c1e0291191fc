//! A validator's metrics: for a scrape over HTTP, and as a file for the text file collector of a node exporter.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grail_observe::thresholds::{STALE_CHAIN_BLOCKS, STALLED_LOOP_BLOCKS};
use grail_observe::{Scrape, TextFormat, as_prometheus};
use grail_protocol::PROTOCOL;
use grail_validator::driver::Observer;
use grail_validator::ports::{Head, Now};
use grail_validator::{Action, Event, Outcome, Report, Validator, WeightsReport};

/// Shortest limit on a chain with fast blocks.
const LIMIT_MIN: Duration = Duration::from_secs(60);

/// Counts what a validator reports; clones share the counters.
#[derive(Debug, Clone)]
pub struct ValidatorMetrics {
    file: Option<PathBuf>,
    block: Duration,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
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
    head: u64,
    /// When the newest head came, and the newest event.
    head_at: Option<Instant>,
    event_at: Instant,
    connections_dropped: u64,
}

impl ValidatorMetrics {
    /// Creates counters at zero for a chain with this block time; without a file, nothing is written.
    pub fn new(file: Option<&Path>, block_ms: u64) -> Self {
        let counts = Counts {
            outcomes: BTreeMap::new(),
            windows: 0,
            missed: 0,
            troubles: 0,
            weights_set: 0,
            weights_not_set: 0,
            last_window: 0,
            last_weights_block: 0,
            active: 0,
            selected: 0,
            head: 0,
            head_at: None,
            event_at: Instant::now(),
            connections_dropped: 0,
        };
        let counts = Arc::new(Mutex::new(counts));
        Self { file: file.map(Path::to_owned), block: Duration::from_millis(block_ms), counts }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A panic leaves nothing half written: every change is an assignment.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a report.
    ///
    /// # Errors
    /// The operating system's error if the file cannot be written.
    pub fn count(&self, report: &Report) -> io::Result<()> {
        self.counts().count(report);
        match (&self.file, report) {
            (Some(file), Report::Window(_) | Report::Weights(_)) => self.write(file),
            _ => Ok(()),
        }
    }

    /// A reader of the file never sees half of it.
    fn write(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("part");
        let text = as_prometheus(&self.counts().text());
        std::fs::write(&part, text)?;
        std::fs::rename(&part, file)
    }
}

impl Observer for ValidatorMetrics {
    fn event(&mut self, _: Now, event: &Event) {
        let mut counts = self.counts();
        counts.event_at = Instant::now();
        if let Event::HeadMoved(Head { number }) = event {
            counts.head = *number;
            counts.head_at = Some(counts.event_at);
        }
    }

    fn action(&mut self, _: Now, action: &Action) {
        if let Action::Report(report) = action
            && let Err(error) = self.count(report)
        {
            tracing::warn!("--metrics-file cannot be written ({error}); give it a file in a folder that can be");
        }
    }

    fn handled(&mut self, _: Now, _: &Validator) {}
}

impl Scrape for ValidatorMetrics {
    fn metrics(&self, format: TextFormat) -> Result<String, std::fmt::Error> {
        let text = self.counts().text();
        Ok(match format {
            TextFormat::OpenMetrics => text,
            TextFormat::Prometheus => as_prometheus(&text),
        })
    }

    fn restart_reasons(&self) -> Vec<String> {
        let silent = self.counts().event_at.elapsed();
        let is_stuck = silent > (self.block * STALLED_LOOP_BLOCKS as u32).max(LIMIT_MIN);
        is_stuck.then(|| format!("nothing has happened for {} s", silent.as_secs())).into_iter().collect()
    }

    fn obstacles(&self) -> Vec<String> {
        let mut obstacles = self.restart_reasons();
        let counts = self.counts();
        match counts.head_at {
            None => obstacles.push("no block has come yet".to_owned()),
            Some(at) if at.elapsed() > self.block * STALE_CHAIN_BLOCKS as u32 => {
                obstacles.push(format!("the newest block is {} s old", at.elapsed().as_secs()));
            }
            Some(_) => {}
        }
        // A window ends when the next one does at the latest.
        let due = counts.head.saturating_sub(3 * PROTOCOL.window_blocks);
        if counts.windows > 0 && counts.last_window < due {
            obstacles.push(format!("the newest window that is judged is {}", counts.last_window));
        }
        obstacles
    }

    fn connection_dropped(&self) {
        self.counts().connections_dropped += 1;
    }
}

impl Counts {
    fn count(&mut self, report: &Report) {
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
    }

    /// Returns OpenMetrics text.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let _ = writeln!(text, "# HELP grail_validator_{name} {help}\n# TYPE grail_validator_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "grail_validator_{name}{suffix}{labels} {value}");
            }
        };
        let one = |value: u64| [(String::new(), value)];
        let outcomes: Vec<(String, u64)> = self
            .outcomes
            .iter()
            .map(|(outcome, count)| (format!("{{outcome=\"{}\"}}", outcome.name()), *count))
            .collect();
        add("miner_windows", "counter", "Windows of miners by the validator's outcome.", &outcomes);
        add("windows", "counter", "Windows that are done.", &one(self.windows));
        add("windows_missed", "counter", "Windows in which nobody could be judged.", &one(self.missed));
        add("troubles", "counter", "Failures of chain, beacon, device or disk.", &one(self.troubles));
        add("weights_set", "counter", "Weights that the chain shows.", &one(self.weights_set));
        add("weights_not_set", "counter", "Times that weights could not be set.", &one(self.weights_not_set));
        add("scrapes_dropped", "counter", "Connections closed before their answer.", &one(self.connections_dropped));
        add("head_block", "gauge", "Newest block.", &one(self.head));
        add("last_window", "gauge", "First block of the newest window that is done.", &one(self.last_window));
        add("last_weights_block", "gauge", "Block in which weights were last set.", &one(self.last_weights_block));
        add("active_miners", "gauge", "Miners with a file in the newest window.", &one(self.active as u64));
        add("selected_miners", "gauge", "Miners that were selected in the newest window.", &one(self.selected as u64));
        text.push_str("# EOF\n");
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
        let metrics = ValidatorMetrics::new(Some(&file), 12_000);
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

    #[test]
    fn a_scrape_says_what_was_counted_and_whether_blocks_and_verdicts_come() {
        let mut metrics = ValidatorMetrics::new(None, 12_000);
        assert_eq!(metrics.obstacles(), ["no block has come yet"]);
        metrics.event(Now::default(), &Event::HeadMoved(Head { number: 95 }));
        assert_eq!((metrics.obstacles(), metrics.restart_reasons()), (Vec::<String>::new(), Vec::new()));
        let text = metrics.metrics(TextFormat::OpenMetrics).unwrap();
        assert!(text.contains("# TYPE grail_validator_windows counter\ngrail_validator_windows_total 0\n"), "{text}");
        assert!(text.contains("\ngrail_validator_head_block 95\n") && text.ends_with("# EOF\n"), "{text}");
        let text = metrics.metrics(TextFormat::Prometheus).unwrap();
        assert!(text.contains("# TYPE grail_validator_windows_total counter\n") && !text.contains("EOF"), "{text}");
        let window = WindowReport {
            window_start: 60,
            active: 0,
            selected: 0,
            receipts: Vec::new(),
            weights: Vec::new(),
            copies: Vec::new(),
            missed: Some("the chain was silent".to_owned()),
        };
        metrics.count(&Report::Window(Box::new(window))).unwrap();
        metrics.event(Now::default(), &Event::HeadMoved(Head { number: 151 }));
        assert_eq!(metrics.obstacles(), ["the newest window that is judged is 60"]);
        metrics.counts().event_at -= Duration::from_secs(7_200);
        assert_eq!(metrics.restart_reasons(), ["nothing has happened for 7200 s"]);
    }
}
