//! Who gets alerts.

use std::time::Duration;

use secrecy::SecretString;

use super::endpoint::EndpointUrl;
use super::error::ConfigError;
use super::monitoring::optional;
use super::reader::Reader;

const TOKEN: &str = "GRAIL_ALERT_TELEGRAM_TOKEN";
const CHAT: &str = "GRAIL_ALERT_TELEGRAM_CHAT";

/// Receivers of alerts; none by default. Addresses of webhooks are secrets: anyone who has one may post.
#[derive(Debug, Clone)]
pub struct AlertsConfig {
    /// An incoming webhook of Slack.
    pub slack: Option<EndpointUrl>,
    /// A webhook of Discord.
    pub discord: Option<EndpointUrl>,
    /// A bot of Telegram.
    pub telegram: Option<TelegramConfig>,
    /// An address that the miner fetches while it is healthy. A service that hears nothing for a while knows that the
    /// miner has stopped.
    pub ping: Option<EndpointUrl>,
    /// How often that is fetched.
    pub ping_interval: Duration,
    /// Less free space than this, in bytes, is an alert.
    pub disk_free_min: u64,
}

/// A bot of Telegram.
#[derive(Debug, Clone)]
pub struct TelegramConfig {
    /// The server.
    pub api: EndpointUrl,
    /// The bot's token.
    pub token: SecretString,
    /// The receiver.
    pub chat: String,
}

impl AlertsConfig {
    /// Returns whether no alert channel is configured.
    pub fn is_empty(&self) -> bool {
        self.slack.is_none() && self.discord.is_none() && self.telegram.is_none() && self.ping.is_none()
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<AlertsConfig> {
    let webhook = |reader: &mut Reader<'_>, name| {
        let expected = "the whole http:// or https:// address that the service shows for the webhook";
        optional(reader, name, expected, |text| EndpointUrl::parse(text, &["http", "https"]))
    };
    let slack = webhook(reader, "GRAIL_ALERT_SLACK_URL");
    let discord = webhook(reader, "GRAIL_ALERT_DISCORD_URL");
    let ping = webhook(reader, "GRAIL_ALERT_PING_URL");
    let telegram = read_telegram(reader);
    let interval = reader.parsed("GRAIL_ALERT_PING_INTERVAL_S", "seconds from 0.1 to 86400", |text| {
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds))?;
        Some(Duration::from_secs_f64(seconds))
    });
    let disk_free = reader.parsed("GRAIL_ALERT_DISK_FREE_GB", "gigabytes from 0 to 1000000", |text| {
        let gigabytes = text.parse::<f64>().ok().filter(|gigabytes| (0.0..=1e6).contains(gigabytes))?;
        Some((gigabytes * 1e9) as u64)
    });
    Some(AlertsConfig {
        slack: slack?,
        discord: discord?,
        telegram: telegram?,
        ping: ping?,
        ping_interval: interval?,
        disk_free_min: disk_free?,
    })
}

fn read_telegram(reader: &mut Reader<'_>) -> Option<Option<TelegramConfig>> {
    let expected = "the http:// or https:// address of a Bot API server, or take it out";
    let api = reader.parsed("GRAIL_ALERT_TELEGRAM_API", expected, |text| EndpointUrl::parse(text, &["http", "https"]));
    // It becomes a part of an address.
    let expected = "the token as BotFather shows it, digits, a colon, then letters, digits, - and _";
    let is_token = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_'));
    let token = optional(reader, TOKEN, expected, |text| is_token(text).then(|| SecretString::from(text)));
    let chat = reader.text(CHAT).map(str::to_owned);
    match (reader.is_typed(TOKEN), reader.is_typed(CHAT)) {
        (true, true) => Some(Some(TelegramConfig { api: api?, token: token??, chat: chat? })),
        (false, false) => Some(None),
        (has_token, _) => {
            let (name, remedy) = match has_token {
                true => (CHAT, "it says whom the bot writes to: a chat's number, or @channel"),
                false => (TOKEN, "it is the bot's token, as BotFather shows it"),
            };
            reader.errors.push(ConfigError::Missing { name, remedy });
            None
        }
    }
}
