//! The watchtower: notifies people when a problem starts and ends, and pings a service that notices when the miner is
//! gone.
//!
//! It reads the miner's shared state from its own thread, and never waits for a service.

mod channels;
pub(super) mod rules;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use tokio::time::timeout;

pub use self::rules::{Alarm, AlertRules, Notice};

use self::channels::channels;
use super::sink::{Dropped, SinkSender, SinkWorker, Stop};
use crate::SharedState;
use grail_config::{AlertsConfig, EndpointUrl};
use grail_http::{HttpClientError, http_client_without_pool};

/// Notices that wait for one service.
const WAITING_MAX: usize = 64;
const CONNECT_MS: u64 = 5_000;
const REQUEST_MS: u64 = 10_000;
/// Polls once per block, clamped to this range.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Why nobody watches.
#[derive(Debug, thiserror::Error)]
pub enum WatchtowerError {
    /// No client.
    #[error(transparent)]
    Client(#[from] HttpClientError),
    /// No thread.
    #[error("cannot start the threads that send alerts ({0}); the operating system refuses more threads")]
    Thread(#[from] io::Error),
}

/// Starts watching. `miner` is its name in notices.
///
/// # Errors
/// [`WatchtowerError`], with what to do.
pub fn start_watchtower(
    config: &AlertsConfig,
    miner: &str,
    block_ms: u64,
    state: SharedState,
    data_folder: PathBuf,
    dropped: &Dropped,
) -> Result<Vec<SinkWorker>, WatchtowerError> {
    let (mut workers, mut senders) = (Vec::new(), Vec::new());
    for channel in channels(config) {
        let (sender, inbox) = SinkSender::new(WAITING_MAX, dropped.of("watchtower"));
        let (client, dropped) = (http_client_without_pool(CONNECT_MS, REQUEST_MS)?, dropped.of("watchtower"));
        workers.push(SinkWorker::start(channel.name, move |stop| channel.run(client, inbox, stop, dropped))?);
        senders.push(sender);
    }
    if let Some(url) = config.ping.clone() {
        let client = http_client_without_pool(CONNECT_MS, REQUEST_MS)?;
        let (state, interval) = (state.clone(), config.ping_interval);
        workers.push(SinkWorker::start("ping", move |stop| ping(client, url, interval, state, stop))?);
    }
    let rules = AlertRules::new(config.disk_free_min);
    let pause = Duration::from_millis(block_ms).clamp(LOOK_MIN, LOOK_MAX);
    let watch = Watch { rules, state, data_folder, senders, miner: miner.to_owned(), pause };
    workers.push(SinkWorker::start("watchtower", move |stop| watch.run(stop))?);
    Ok(workers)
}

struct Watch {
    rules: AlertRules,
    state: SharedState,
    data_folder: PathBuf,
    senders: Vec<SinkSender<String>>,
    miner: String,
    pause: Duration,
}

impl Watch {
    async fn run(mut self, mut stop: Stop) {
        let begun = Instant::now();
        loop {
            let now_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let disk_free = fs4::available_space(&self.data_folder).ok();
            for notice in self.rules.look(now_ms, &self.state.health(), disk_free) {
                let time = httpdate::fmt_http_date(SystemTime::now());
                let text = format!("grail {}: {notice} [{time}]", self.miner);
                tracing::info!("sent: {notice}");
                self.senders.iter().for_each(|sender| sender.offer(text.clone()));
            }
            if timeout(self.pause, &mut stop).await.is_ok() {
                return;
            }
        }
    }
}

/// Fetches an address for as long as the event loop continues and the engine finishes groups, as `/healthz` says.
async fn ping(client: Client, url: EndpointUrl, interval: Duration, state: SharedState, mut stop: Stop) {
    let mut is_failing = false;
    loop {
        if state.health().restart_reasons().is_empty() {
            let answer = client.get(url.expose()).send().await;
            let came = answer.is_ok_and(|answer| answer.status().is_success());
            if !came && !std::mem::replace(&mut is_failing, true) {
                tracing::warn!("{url} takes no ping; check GRAIL_ALERT_PING_URL, mining continues");
            }
            is_failing &= !came;
        }
        if timeout(interval, &mut stop).await.is_ok() {
            return;
        }
    }
}
