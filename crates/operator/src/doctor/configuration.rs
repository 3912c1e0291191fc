//! The configuration: whether it can be used, doubtful values, and who can read it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::check::{Check, Fix, Obstacle};
use super::passing::env_file_passes;
use super::{ConfigProblem, Subject};
use grail_config::{ConfigError, ConfigErrors, MinerConfig, Notice};

/// The check that everything needs which reads the configuration.
pub(super) const VALUES: &str = "config.values";
const FILE: &str = "config.file";
const NOTICE: &str = "config.notice";
const PERMISSIONS: &str = "config.permissions";
const BUCKET_NAME: &str = "bucket.name";
const BUCKET_KEYS: &str = "bucket.keys";

pub(super) fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let mut checks = match subject.config {
        Ok(config) => usable(config),
        Err(ConfigProblem::File(error)) => {
            let file = Check::blocked_by(FILE, Obstacle::Configuration, &error.to_string(), "; ")
                .passing_if(env_file_passes(error));
            vec![file, Check::skipped(VALUES, FILE)]
        }
        Err(ConfigProblem::Values(errors)) => unusable(subject, errors),
    };
    let unusable = match subject.config {
        Err(ConfigProblem::File(error)) => Some(error.path()),
        _ => None,
    };
    checks.extend(subject.env_file.or(unusable).and_then(permissions));
    checks
}

fn usable(config: &MinerConfig) -> Vec<Check> {
    let network = format!("network {}, subnet {}", config.chain.network.name(), config.chain.netuid);
    let name = format!("{}, like the account id", config.storage.name());
    let usable = [
        Check::ok(VALUES, network),
        Check::ok(BUCKET_NAME, name),
        Check::ok(BUCKET_KEYS, "the key that is published differs from the one that writes"),
    ];
    usable.into_iter().chain(notices(&config.notices)).collect()
}

fn notices(notices: &[Notice]) -> impl Iterator<Item = Check> {
    notices.iter().map(|notice| {
        let text = notice.to_string();
        let (value, remedy) = text.rsplit_once(": ").unwrap_or((&text, "see .env.example for what can be set"));
        Check::warning(NOTICE, value, remedy)
    })
}

fn unusable(subject: &Subject<'_>, errors: &ConfigErrors) -> Vec<Check> {
    let check_of =
        |error: &ConfigError| Check::blocked_by(code_of(error), obstacle_of(error), &error.to_string(), ": ");
    let mut checks: Vec<Check> = errors.0.iter().map(check_of).collect();
    if subject.env_file.is_none() {
        let remedy = "run `grail init`, or `cp .env.example .env` and fill it in";
        checks.insert(0, Check::blocked(FILE, Obstacle::Configuration, "there is no .env in this folder", remedy));
    }
    // A name that is not known may be the one that is missing.
    checks.extend(subject.parts.into_iter().flat_map(|parts| notices(&parts.notices)));
    // A check that others depend on must have its own line.
    if let Some(first) = checks.first().filter(|_| checks.iter().all(|check| check.code != VALUES)) {
        checks.push(Check::skipped(VALUES, first.code));
    }
    checks
}

/// Some mistakes are about the bucket, whichever way they are found.
const fn code_of(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::OtherBucket { .. } => BUCKET_NAME,
        ConfigError::WriteKeyPublished { .. } | ConfigError::Credentials(_) => BUCKET_KEYS,
        _ => VALUES,
    }
}

const fn obstacle_of(error: &ConfigError) -> Obstacle {
    match error {
        ConfigError::WriteKeyPublished { .. } | ConfigError::Credentials(_) => Obstacle::Credentials,
        _ => Obstacle::Configuration,
    }
}

fn permissions(path: &Path) -> Option<Check> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let value = format!("{} has mode {mode:04o}", path.display());
    Some(match mode & 0o077 {
        0 => Check::ok(PERMISSIONS, value),
        _ => {
            let remedy = format!("it holds the bucket's keys; run `chmod 600 {}`", path.display());
            let fix = Fix::Mode { path: path.to_owned(), mode: 0o600 };
            Check::warning(PERMISSIONS, format!("{value}, so others can read it"), remedy).fixed_by(fix)
        }
    })
}
