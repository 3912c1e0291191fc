//! The status of a running validator, for `grail top` and `grail stop`.

use std::sync::Arc;
use std::time::Instant;

use grail_observe::Scrape;
use grail_observe::control::{Answers, HeadStatus, HealthStatus, Identity, ProcessStatus, Stopping};
use tokio::sync::watch;

use crate::validator_metrics::ValidatorMetrics;

/// Answers about a validator.
pub struct ValidatorBoard {
    identity: Identity,
    begun: Instant,
    metrics: ValidatorMetrics,
    stop: watch::Sender<Stopping>,
}

impl ValidatorBoard {
    /// Returns a board about the validator that these metrics observe.
    pub fn new(identity: Identity, metrics: ValidatorMetrics) -> Arc<Self> {
        Arc::new(Self { identity, begun: Instant::now(), metrics, stop: watch::Sender::new(Stopping::No) })
    }

    /// Resolves once somebody asks the validator to stop.
    pub async fn stopped(&self) {
        let mut stopping = self.stop.subscribe();
        // The sender lives as long as the board.
        let _ = stopping.wait_for(|stopping| *stopping != Stopping::No).await;
    }
}

impl Answers for ValidatorBoard {
    fn status(&self) -> ProcessStatus {
        let reasons = self.metrics.obstacles();
        let state = self.metrics.state();
        ProcessStatus {
            head: state.head.map(|(block, at)| HeadStatus { block, age_seconds: at.elapsed().as_secs_f64() }),
            health: HealthStatus { ready: reasons.is_empty(), reasons, registered: None },
            troubles: state.recent_troubles(),
            stopping: *self.stop.borrow(),
            judging: Some(state.judging()),
            ..self.identity.status(self.begun)
        }
    }

    /// A validator stops at once: a window that is not judged yet is judged after the next start.
    fn would_stop(&self, _: bool) -> Stopping {
        Stopping::Now
    }

    fn stop(&self, stopping: Stopping) {
        self.stop.send_replace(stopping);
    }
}
