//! Rows to the service: kept on disk first, sent in order, sent again after an outage, forgotten once acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use super::file::numbered;
use super::run::Run;
use super::service::{Known, Place, Service, ServiceError};
use super::spool::Spool;
use crate::metrics::row::Row;
use crate::sink::{Backoff, Stop, next};
use grail_config::Resume;

/// Most rows in a request.
const BATCH_MAX: usize = 200;
/// A run that is silent for longer counts as crashed.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long the last rows may take when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Client and spool for delivery.
pub(super) struct Delivery {
    pub(super) service: Service,
    pub(super) own: Spool,
    /// Of earlier processes, oldest first.
    pub(super) others: Vec<Spool>,
    pub(super) resume: Resume,
    pub(super) bytes_max: u64,
    pub(super) dropped: Counter,
    pub(super) backoff: Backoff,
    pub(super) link: Option<Link>,
    /// Whether the run is known to be there, so that `resume` has been answered.
    pub(super) is_begun: bool,
    /// Names whose x axis the service knows.
    pub(super) names: BTreeSet<String>,
    pub(super) is_failing: bool,
}

/// Position of a run's next row.
pub(super) struct Link {
    place: Place,
    next_line: u64,
    next_step: i64,
    /// Time of the last row that the service had when it was asked.
    last_timestamp: Option<f64>,
}

/// Why a delivery ended.
enum Failure {
    /// Try again.
    Service(ServiceError),
    /// The run must not be written to.
    Run(&'static str),
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl Delivery {
    /// Delivers until the process ends.
    pub(super) async fn run(mut self, mut inbox: Receiver<Row>, mut stop: Stop) {
        let mut next = Instant::now();
        loop {
            let is_stopping = tokio::select! {
                row = inbox.recv() => match row {
                    Some(row) => { self.keep(row); false }
                    None => { let _ = (&mut stop).await; true }
                },
                () = sleep_until(next) => false,
                _ = &mut stop => true,
            };
            while let Ok(row) = inbox.try_recv() {
                self.keep(row);
            }
            if is_stopping {
                break;
            }
            if self.is_failing && Instant::now() < next {
                continue;
            }
            let attempt = tokio::select! {
                attempt = self.deliver() => attempt,
                _ = &mut stop => {
                    // Rows in flight may have arrived, so the service is asked again.
                    self.link = None;
                    break;
                }
            };
            match attempt {
                Ok(()) => next = Instant::now() + HEARTBEAT,
                Err(Failure::Service(error)) => next = Instant::now() + self.failed(&error.to_string()),
                Err(Failure::Run(why)) => {
                    tracing::warn!("nothing more is sent to Weights & Biases: {why}");
                    return self.give_up(inbox, stop).await;
                }
            }
        }
        while let Ok(row) = inbox.try_recv() {
            self.keep(row);
        }
        let outcome = timeout(LAST_WORDS, self.last_words()).await;
        if let Ok(Err(Failure::Run(why))) = outcome {
            tracing::warn!("{} rows are not sent to Weights & Biases: {why}", self.own.waiting.len());
            self.dropped.inc_by(self.own.waiting.len() as u64);
            self.own.remove();
        } else if self.own.waiting.is_empty() {
            self.own.remove();
        } else {
            let waiting = self.own.waiting.len();
            tracing::warn!("{waiting} rows wait for Weights & Biases on disk; the next start sends them");
        }
    }

    /// Sends the remaining rows, and the end of the run.
    async fn last_words(&mut self) -> Result<(), Failure> {
        self.deliver().await?;
        let Some(Link { place, .. }) = &self.link else { return Ok(()) };
        Ok(self.service.stream(place, &self.own.run, None, true).await?)
    }

    fn keep(&mut self, row: Row) {
        let bytes: u64 = self.own.bytes + self.others.iter().map(|spool| spool.bytes).sum::<u64>();
        if bytes > self.bytes_max {
            self.dropped.inc();
            return;
        }
        if let Err(error) = self.own.push(row) {
            tracing::warn!("a row for Weights & Biases is kept in memory alone ({error}); free the disk");
        }
    }

    /// Reports the first failure in a row. Returns how long to wait.
    fn failed(&mut self, why: &str) -> Duration {
        if !std::mem::replace(&mut self.is_failing, true) {
            let server = &self.service.base_url;
            tracing::warn!(
                "Weights & Biases at {server} takes nothing: {why}; rows are kept on disk, mining continues"
            );
        }
        self.link = None;
        self.backoff.after_failure()
    }

    /// Sends all waiting rows, or a heartbeat if there are none.
    async fn deliver(&mut self) -> Result<(), Failure> {
        self.deliver_own().await?;
        while let Some(mut other) = self.others.pop() {
            if let Err(error) = self.deliver_other(&mut other).await {
                self.others.push(other);
                return Err(error);
            }
            other.remove();
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::warn!("Weights & Biases takes rows again; what waited was delivered");
        }
        self.backoff.after_success();
        Ok(())
    }

    async fn deliver_own(&mut self) -> Result<(), Failure> {
        let fresh = new_names(&self.own, &self.names);
        let is_fresh = !fresh.is_empty();
        self.names.extend(fresh);
        if self.link.is_none() {
            let known = self.service.known(&self.own.run).await?;
            if !self.is_begun {
                match (self.resume, &known) {
                    (Resume::Must, None) => {
                        return Err(Failure::Run("WANDB_RESUME=must, and there is no run of WANDB_RUN_ID"));
                    }
                    // A row that an earlier attempt may have delivered shows that the run is ours.
                    (Resume::Never, Some(_)) if self.own.waiting.iter().all(|waiting| !waiting.may_be_there) => {
                        return Err(Failure::Run("WANDB_RESUME=never, and there is a run of WANDB_RUN_ID already"));
                    }
                    _ => {}
                }
            }
            self.link = Some(link(&self.service, &self.own.run, known, &self.names).await?);
            self.is_begun = true;
        } else if is_fresh {
            self.service.upsert(&self.own.run, &self.names).await?;
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        if self.own.waiting.is_empty() {
            return Ok(self.service.stream(&link.place, &self.own.run, None, false).await?);
        }
        send_all(&self.service, link, &mut self.own, &self.dropped).await
    }

    async fn deliver_other(&mut self, other: &mut Spool) -> Result<(), Failure> {
        if other.waiting.is_empty() {
            return Ok(());
        }
        let known = self.service.known(&other.run).await?;
        let names = new_names(other, &BTreeSet::new());
        let mut link = link(&self.service, &other.run, known, &names).await?;
        send_all(&self.service, &mut link, other, &self.dropped).await
    }

    /// Counts waiting and new rows, until the process ends.
    async fn give_up(self, mut inbox: Receiver<Row>, mut stop: Stop) {
        self.dropped.inc_by(self.own.waiting.len() as u64);
        self.own.remove();
        while next(&mut inbox, &mut stop).await.is_some() {
            self.dropped.inc();
        }
        while inbox.try_recv().is_ok() {
            self.dropped.inc();
        }
    }
}

/// Returns names that wait and are not among these.
fn new_names(spool: &Spool, known: &BTreeSet<String>) -> BTreeSet<String> {
    let names = spool.waiting.iter().flat_map(|waiting| waiting.row.0.keys());
    names.filter(|name| !known.contains(*name)).cloned().collect()
}

/// Starts or describes the run, and continues after the service's last row.
async fn link(
    service: &Service,
    run: &Run,
    known: Option<Known>,
    names: &BTreeSet<String>,
) -> Result<Link, ServiceError> {
    let place = service.upsert(run, names).await?;
    let Known { lines, last } = known.unwrap_or_default();
    Ok(Link {
        place,
        next_line: lines,
        next_step: last.map_or(0, |(step, _)| step + 1),
        last_timestamp: last.map(|(_, timestamp)| timestamp),
    })
}

/// Sends waiting rows in batches. A batch that the service will never accept is dropped and counted, so that it does
/// not block the others.
async fn send_all(service: &Service, link: &mut Link, spool: &mut Spool, dropped: &Counter) -> Result<(), Failure> {
    if let Some(last) = link.last_timestamp.take() {
        let are_there = |waiting: &&super::spool::Waiting| waiting.may_be_there && waiting.timestamp() <= last;
        let there = spool.waiting.iter().take_while(are_there).count();
        spool.forget(there);
    }
    while !spool.waiting.is_empty() {
        let batch = spool.waiting.iter().take(BATCH_MAX);
        let lines: Vec<String> = (link.next_step..)
            .zip(batch)
            .map(|(step, waiting)| Value::Object(numbered(&waiting.row, step, spool.run.begun_ms)).to_string())
            .collect();
        // From here on the service may have them, even if the process ends.
        spool.unanswered(lines.len());
        match service.stream(&link.place, &spool.run, Some((link.next_line, &lines)), false).await {
            Ok(()) => {
                link.next_line += lines.len() as u64;
                link.next_step += lines.len() as i64;
            }
            Err(error @ ServiceError::Rows(_)) => {
                tracing::warn!("Weights & Biases: {error}; {} rows are dropped", lines.len());
                dropped.inc_by(lines.len() as u64);
            }
            Err(error) => return Err(error.into()),
        }
        spool.forget(lines.len());
    }
    Ok(())
}
