//! Channels for notices. Each has its own queue and thread, so that a broken channel does not delay the others.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::sink::{Backoff, Stop};
use grail_config::AlertsConfig;
use grail_http::failure_text;

/// Discord refuses more than 2,000 characters, the others more than 4,000.
const TEXT_CHARS_MAX: usize = 2_000;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// A service that takes notices.
pub(super) struct Channel {
    /// Its name.
    pub(super) name: &'static str,
    /// The configuration's name of its address.
    key: &'static str,
    address: SecretString,
    body: Box<dyn Fn(&str) -> Value + Send>,
}

/// Returns every channel of a configuration.
pub(super) fn channels(config: &AlertsConfig) -> Vec<Channel> {
    let slack = config.slack.as_ref().map(|url| Channel {
        name: "Slack",
        key: "GRAIL_ALERT_SLACK_URL",
        address: SecretString::from(url.expose()),
        body: Box::new(|text| {
            // Slack reads these three as markup.
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            json!({ "text": text })
        }),
    });
    let discord = config.discord.as_ref().map(|url| Channel {
        name: "Discord",
        key: "GRAIL_ALERT_DISCORD_URL",
        address: SecretString::from(url.expose()),
        body: Box::new(|text| json!({ "content": text, "allowed_mentions": { "parse": [] } })),
    });
    let telegram = config.telegram.as_ref().map(|telegram| {
        let chat = telegram.chat.clone();
        Channel {
            name: "Telegram",
            key: "GRAIL_ALERT_TELEGRAM_TOKEN and GRAIL_ALERT_TELEGRAM_CHAT",
            address: SecretString::from(format!(
                "{}/bot{}/sendMessage",
                telegram.api.expose(),
                telegram.token.expose_secret()
            )),
            body: Box::new(
                move |text| json!({ "chat_id": chat, "text": text, "link_preview_options": { "is_disabled": true } }),
            ),
        }
    });
    [slack, discord, telegram].into_iter().flatten().collect()
}

impl Channel {
    /// Posts each notice until the service accepts it or will never accept it.
    pub(super) async fn run(self, client: Client, mut inbox: Receiver<String>, mut stop: Stop, dropped: Counter) {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        let mut is_stopping = false;
        loop {
            let text = match is_stopping {
                true => inbox.try_recv().ok(),
                false => tokio::select! {
                    text = inbox.recv() => text,
                    _ = &mut stop => { is_stopping = true; continue }
                },
            };
            let Some(text) = text else { return };
            while let Err((why, may_succeed)) = self.post(&client, &text).await {
                if !may_succeed || is_stopping {
                    dropped.inc();
                    tracing::warn!("{} did not take a notice ({why}); check {}", self.name, self.key);
                    break;
                }
                is_stopping = timeout(backoff.after_failure(), &mut stop).await.is_ok();
            }
            backoff.after_success();
        }
    }

    /// Makes one attempt. Returns why it failed, and whether another one may succeed.
    async fn post(&self, client: &Client, text: &str) -> Result<(), (String, bool)> {
        let body = (self.body)(cut(text)).to_string();
        let request = client.post(self.address.expose_secret()).header("content-type", "application/json").body(body);
        match request.send().await {
            Ok(response) => match response.status() {
                status if status.is_success() => Ok(()),
                status => {
                    let waits = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
                    Err((status.to_string(), waits || status.is_server_error()))
                }
            },
            Err(error) => Err((failure_text(error), true)),
        }
    }
}

/// Returns the text, as much of it as every service takes.
fn cut(text: &str) -> &str {
    text.char_indices().nth(TEXT_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_cut_where_a_service_would_refuse_it() {
        let longest = "ü".repeat(TEXT_CHARS_MAX);
        assert_eq!(cut(&longest), longest);
        assert_eq!(cut(&format!("{longest}x")), longest);
    }
}
