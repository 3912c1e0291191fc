//! The log to Loki: lines are gathered, and pushed from threads of their own, one for each server.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::{Entry, level_name};
use crate::sink::{Backoff, Dropped, SinkSender, SinkWorker, Stop};
use grail_config::{EndpointUrl, LokiConfig};
use grail_http::{HttpClientError, failure_text, http_client};

/// Lines that wait for a server; more are counted as dropped.
const WAITING_MAX: usize = 4096;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);

/// Why nothing is sent to Loki.
#[derive(Debug, thiserror::Error)]
pub enum LokiError {
    /// No client.
    #[error(transparent)]
    Client(#[from] HttpClientError),
    /// No thread.
    #[error("cannot start the thread that sends the log to Loki ({0}); the operating system refuses more threads")]
    Thread(#[from] io::Error),
}

/// One line on its way.
struct Line {
    /// Since 1970.
    nanoseconds: u128,
    level: &'static str,
    text: String,
}

/// A layer that offers every event to each server's queue.
pub struct Loki(Vec<SinkSender<Line>>);

impl Loki {
    /// Returns the layer, and the threads that push.
    ///
    /// # Errors
    /// [`LokiError`].
    pub fn start(config: &LokiConfig, dropped: &Dropped) -> Result<(Self, Vec<SinkWorker>), LokiError> {
        let (mut senders, mut workers) = (Vec::new(), Vec::new());
        for url in &config.urls {
            let request_ms = u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX);
            let client = http_client(request_ms, request_ms)?;
            let (sender, inbox) = SinkSender::new(WAITING_MAX, dropped.of("loki"));
            let pusher = Pusher {
                client,
                url: url.clone(),
                config: config.clone(),
                dropped: dropped.of("loki"),
                backoff: Backoff::new(PAUSE_FIRST, PAUSE_LONGEST),
                is_failing: false,
            };
            workers.push(SinkWorker::start("loki", move |stop| pusher.run(inbox, stop))?);
            senders.push(sender);
        }
        Ok((Self(senders), workers))
    }
}

impl<S: Subscriber> Layer<S> for Loki {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = Entry::of(event);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (nanoseconds, level) = (since.map_or(0, |since| since.as_nanos()), level_name(entry.level));
        let text = entry.line();
        for sender in &self.0 {
            sender.offer(Line { nanoseconds, level, text: text.clone() });
        }
    }
}

struct Pusher {
    client: Client,
    url: EndpointUrl,
    config: LokiConfig,
    dropped: Counter,
    backoff: Backoff,
    is_failing: bool,
}

/// How a push ended.
enum Pushed {
    Taken,
    /// Another attempt may succeed.
    Later(String),
    /// No attempt with these lines will.
    Refused(String),
}

impl Pusher {
    async fn run(mut self, mut inbox: Receiver<Line>, mut stop: Stop) {
        let mut batch = Vec::new();
        loop {
            let is_stopping = tokio::select! {
                () = self.gather(&mut inbox, &mut batch) => false,
                _ = &mut stop => true,
            };
            if is_stopping {
                return self.last_words(inbox, batch).await;
            }
            while !batch.is_empty() {
                let Some(pause) = self.push(&mut batch).await else { break };
                if timeout(pause, &mut stop).await.is_ok() {
                    return self.last_words(inbox, batch).await;
                }
            }
        }
    }

    /// Waits for a line, then for what comes within the interval.
    async fn gather(&self, inbox: &mut Receiver<Line>, batch: &mut Vec<Line>) {
        let most = self.config.batch_max;
        if inbox.recv_many(batch, 1).await == 0 {
            // The log lasts as long as the process.
            return std::future::pending().await;
        }
        let rest = async { while batch.len() < most && inbox.recv_many(batch, most - batch.len()).await > 0 {} };
        let _ = timeout(self.config.interval, rest).await;
    }

    /// Everything that is left, each batch once.
    async fn last_words(&mut self, mut inbox: Receiver<Line>, mut batch: Vec<Line>) {
        loop {
            while batch.len() < self.config.batch_max
                && let Ok(line) = inbox.try_recv()
            {
                batch.push(line);
            }
            if batch.is_empty() {
                return;
            }
            if self.push(&mut batch).await.is_some() {
                let left = batch.len() + inbox.len();
                self.dropped.inc_by(left as u64);
                return;
            }
        }
    }

    /// Pushes, and empty the batch unless another attempt may succeed: then it says when.
    async fn push(&mut self, batch: &mut Vec<Line>) -> Option<Duration> {
        match self.attempt(batch).await {
            Pushed::Taken => {
                batch.clear();
                self.backoff.after_success();
                if std::mem::take(&mut self.is_failing) {
                    tracing::warn!("{} takes the log again", self.url);
                }
                None
            }
            Pushed::Refused(why) => {
                self.dropped.inc_by(batch.len() as u64);
                batch.clear();
                self.tell(&why);
                None
            }
            Pushed::Later(why) => {
                self.tell(&why);
                Some(self.backoff.after_failure())
            }
        }
    }

    fn tell(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!("{} does not take the log ({why}); see GRAIL_OBS_LOKI_URL, mining continues", self.url);
        }
    }

    async fn attempt(&self, batch: &[Line]) -> Pushed {
        let body = push_body(&self.config.labels, batch).to_string();
        let mut request = self.client.post(self.url.expose()).header("content-type", "application/json").body(body);
        if let Some((user, password)) = &self.config.login {
            request = request.basic_auth(user, Some(password.expose_secret()));
        }
        match request.send().await {
            Ok(response) => match response.status() {
                status if status.is_success() => Pushed::Taken,
                status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => {
                    Pushed::Later(status.to_string())
                }
                // The operator may fix these, and lines wait meanwhile.
                status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Pushed::Later(status.to_string()),
                status if status.is_client_error() => Pushed::Refused(status.to_string()),
                status => Pushed::Later(status.to_string()),
            },
            Err(error) => Pushed::Later(failure_text(error)),
        }
    }
}

/// Returns the body of a push: one stream for each level. Nothing but the operator's labels and the level is a label,
/// so the number of streams does not grow.
fn push_body(labels: &BTreeMap<String, String>, batch: &[Line]) -> Value {
    let mut streams: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for line in batch {
        streams.entry(line.level).or_default().push(json!([line.nanoseconds.to_string(), line.text]));
    }
    let stream = |(level, values): (&str, Vec<Value>)| {
        let mut all = BTreeMap::from([("app", "grail")]);
        all.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.insert("level", level);
        json!({ "stream": all, "values": values })
    };
    json!({ "streams": streams.into_iter().map(stream).collect::<Vec<_>>() })
}
