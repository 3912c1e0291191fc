//! A validator's metrics: for a scrape over HTTP, and as a file for the text file collector of a node exporter.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grail_observe::{Scrape, TextFormat};
use grail_validator::driver::Observer;
use grail_validator::ports::Now;
use grail_validator::{Action, Event, Report, Validator};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::validator_state::ValidatorState;

/// Folds and shows what a validator does; clones share the state.
#[derive(Debug, Clone)]
pub struct ValidatorMetrics {
    file: Option<PathBuf>,
    block: Duration,
    state: Arc<Mutex<ValidatorState>>,
}

impl ValidatorMetrics {
    /// Creates counters at zero for a chain with this block time; without a file, nothing is written.
    pub fn new(file: Option<&Path>, block_ms: u64) -> Self {
        Self { file: file.map(Path::to_owned), block: Duration::from_millis(block_ms), state: Arc::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ValidatorState> {
        // A panic in the fold ends the validator; until then a state without one event is better than none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader of the file never sees half of it.
    fn write(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("part");
        let text = self.metrics(TextFormat::Prometheus).map_err(io::Error::other)?;
        std::fs::write(&part, text)?;
        std::fs::rename(&part, file)
    }
}

impl Observer for ValidatorMetrics {
    fn event(&mut self, _: Now, event: &Event) {
        self.state().event(event);
    }

    fn action(&mut self, _: Now, action: &Action) {
        self.state().action(action);
        if let (Some(file), Action::Report(Report::Window(_) | Report::Weights(_))) = (&self.file, action)
            && let Err(error) = self.write(file)
        {
            tracing::warn!("--metrics-file cannot be written ({error}); give it a file in a folder that can be");
        }
    }

    fn handled(&mut self, _: Now, _: &Validator) {}
}

impl Scrape for ValidatorMetrics {
    fn metrics(&self, format: TextFormat) -> Result<String, std::fmt::Error> {
        let (registry, mut text) = (registry(&self.state()), String::new());
        encode(&mut text, &registry)?;
        Ok(format.of(text))
    }

    fn restart_reasons(&self) -> Vec<String> {
        self.state().restart_reasons(self.block)
    }

    fn obstacles(&self) -> Vec<String> {
        self.state().obstacles(self.block)
    }

    fn connection_dropped(&self) {
        self.state().connections_dropped += 1;
    }
}

/// Returns the metrics of a state.
fn registry(state: &ValidatorState) -> Registry {
    let mut registry = Registry::with_prefix("grail_validator");
    let outcomes = Family::<[(&str, &str); 1], Counter>::default();
    for (outcome, count) in &state.outcomes {
        outcomes.get_or_create(&[("outcome", outcome.name())]).inc_by(*count);
    }
    registry.register("miner_windows", "Windows of miners by the validator's outcome", outcomes);
    for (name, help, value) in [
        ("windows", "Windows that are done", state.windows),
        ("windows_missed", "Windows in which nobody could be judged", state.missed),
        ("troubles", "Failures of chain, beacon, device or disk", state.troubles),
        ("weights_set", "Weights that the chain shows", state.weights_set),
        ("weights_not_set", "Times that weights could not be set", state.weights_not_set),
        ("scrapes_dropped", "Connections closed before their answer", state.connections_dropped),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
    for (name, help, value) in [
        ("head_block", "Newest block", state.head.map_or(0, |(head, _)| head)),
        ("last_window", "First block of the newest window that is done", state.last_window),
        ("last_weights_block", "Block in which weights were last set", state.last_weights_block),
        ("active_miners", "Miners with a file in the newest window", state.active as u64),
        ("selected_miners", "Miners that were selected in the newest window", state.selected as u64),
    ] {
        registry.register(name, help, ConstGauge::new(value));
    }
    registry
}

#[cfg(test)]
mod tests {
    use grail_validator::ports::Head;
    use grail_validator::{WeightsReport, WindowReport};

    use super::*;

    fn window(active: usize, selected: usize, missed: Option<String>) -> Report {
        let (receipts, weights, copies) = (Vec::new(), Vec::new(), Vec::new());
        Report::Window(Box::new(WindowReport { window_start: 60, active, selected, receipts, weights, copies, missed }))
    }

    #[test]
    fn each_window_is_written_whole_with_what_was_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grail.prom");
        let mut metrics = ValidatorMetrics::new(Some(&file), 12_000);
        let mut report = |report| metrics.action(Now::default(), &Action::Report(report));
        report(Report::Trouble("x".to_owned()));
        assert!(!file.exists());
        report(window(3, 2, None));
        let set = WeightsReport::Set { window_start: 60, block: 91, weights: Vec::new() };
        report(Report::Weights(set));
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
        metrics.action(Now::default(), &Action::Report(window(0, 0, Some("the chain was silent".to_owned()))));
        metrics.event(Now::default(), &Event::HeadMoved(Head { number: 151 }));
        assert_eq!(metrics.obstacles(), ["the newest window that is judged is 60"]);
        metrics.state().last_event.0 -= Duration::from_secs(7_200);
        assert_eq!(metrics.restart_reasons(), ["nothing has happened for 7200 s"]);
    }
}
