//! The log's form, and where it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use secrecy::SecretString;

use super::endpoint::EndpointUrl;
use super::error::ConfigError;
use super::monitoring::optional;
use super::reader::Reader;

const URL: &str = "GRAIL_OBS_LOKI_URL";
const USERNAME: &str = "GRAIL_OBS_LOKI_USERNAME";
const PASSWORD: &str = "GRAIL_OBS_LOKI_PASSWORD";
/// Labels that are ours, since a line's level decides them.
const RESERVED: [&str; 1] = ["level"];
/// More labels would give each line its own stream; Loki itself takes 15.
const LABELS_MAX: usize = 10;

/// Format of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines that people read.
    Text,
    /// A JSON object on each line.
    Json,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Logging {
    /// Its form.
    pub format: LogFormat,
    /// Loki servers that also get it.
    pub loki: Option<LokiConfig>,
}

/// Address and limits of Loki.
#[derive(Debug, Clone)]
pub struct LokiConfig {
    /// The whole addresses, `…/loki/api/v1/push`; each gets every line.
    pub urls: Vec<EndpointUrl>,
    /// Labels of every line.
    pub labels: BTreeMap<String, String>,
    /// User and password, where the server asks for them.
    pub login: Option<(String, SecretString)>,
    /// How long a push may take.
    pub timeout: Duration,
    /// Most lines in a push.
    pub batch_max: usize,
    /// How long lines are gathered for a push.
    pub interval: Duration,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Logging> {
    let format = reader.parsed("GRAIL_LOG_FORMAT", "text or json", |text| LogFormat::from_str(text, false).ok());
    let expected =
        "the http:// or https:// address of Loki's push, …/loki/api/v1/push, or several with a comma between";
    let urls = optional(reader, URL, expected, |text| {
        text.split(',').map(|part| EndpointUrl::parse(part.trim(), &["http", "https"])).collect::<Option<Vec<_>>>()
    });
    let expected = "up to 10 NAME=VALUE with commas between, names of letters, digits and _, and not level";
    let labels = optional(reader, "GRAIL_OBS_LOKI_LABELS", expected, parse_labels);
    let expected = "seconds from 0.05 to 60";
    let seconds = |text: &str| {
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.05..=60.0).contains(seconds))?;
        Some(Duration::from_secs_f64(seconds))
    };
    let timeout = reader.parsed("GRAIL_OBS_LOKI_TIMEOUT_S", expected, seconds);
    let interval = reader.parsed("GRAIL_OBS_LOKI_BATCH_INTERVAL_S", expected, seconds);
    let batch_max = reader.parsed("GRAIL_OBS_LOKI_BATCH_SIZE", "a whole number from 1 to 1000", |text| {
        text.parse().ok().filter(|lines| (1..=1000).contains(lines))
    });
    let login = match (reader.text(USERNAME), reader.text(PASSWORD)) {
        (Some(user), Some(password)) => Some((user.to_owned(), SecretString::from(password))),
        _ if reader.is_typed(USERNAME) == reader.is_typed(PASSWORD) => None,
        _ => {
            let name = if reader.is_typed(USERNAME) { PASSWORD } else { USERNAME };
            reader.errors.push(ConfigError::Missing { name, remedy: "Loki's user and password belong together" });
            None
        }
    };
    let (urls, labels, timeout, interval, batch_max) = (urls?, labels?, timeout?, interval?, batch_max?);
    let labels = labels.unwrap_or_default();
    let loki = urls.map(|urls| LokiConfig { urls, labels, login, timeout, batch_max, interval });
    Some(Logging { format: format?, loki })
}

fn parse_labels(text: &str) -> Option<BTreeMap<String, String>> {
    let is_name = |name: &str| {
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !RESERVED.contains(&name)
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let labels: Option<BTreeMap<String, String>> = parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            (is_name(name) && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        })
        .collect();
    labels.filter(|labels| labels.len() <= LABELS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_few_and_named_as_loki_names_them() {
        let labels = |text| parse_labels(text).map(|labels| labels.into_iter().collect::<Vec<_>>());
        let expected = [("env", "a=b"), ("service", "grail")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels("service=grail, env=a=b,").as_deref(), Some(&expected[..]));
        for text in ["env", "env=", "1env=a", "e-nv=a", "level=info", "=a"] {
            assert_eq!(labels(text), None, "{text}");
        }
        let many: Vec<String> = (0..11).map(|n| format!("l{n}=x")).collect();
        assert_eq!((labels(&many.join(",")), labels(&many[..10].join(",")).is_some()), (None, true));
    }
}
