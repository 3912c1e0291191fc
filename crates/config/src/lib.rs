//! Reads the configuration: names and values from the environment and a `.env` file, checked, and what they mean for a
//! miner.
//!
//! It reads only the files that are named to it: the environment comes in as a map, and [`process_environment`] is the
//! one function that reads the process's own. [`load`] gives a [`RawConfig`] with the source of each value, and
//! [`MinerConfig`] is what follows from it, secrets included.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

mod alerts;
mod beacon;
mod charset;
mod dotenv;
mod endpoint;
mod error;
mod folders;
mod keys;
mod logging;
mod miner;
mod monitoring;
mod network;
mod notice;
mod raw;
mod reader;
mod redacted;
mod setting;
mod storage;
mod store_address;
mod suggestion;
mod validator;

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use grail_wallet::Inputs;

pub use self::alerts::{AlertsConfig, TelegramConfig};
pub use self::beacon::BeaconConfig;
pub use self::charset::{Content, OddCharacter, invisible_in};
pub use self::dotenv::{Bare, Entry, EnvFile, EnvFileError, Mistake};
pub use self::endpoint::EndpointUrl;
pub use self::error::{ConfigError, ConfigErrors, CredentialsError};
pub use self::folders::{data_folder, hub_cache, hub_home, model_folder};
pub use self::keys::{KEYS, Key, Kind};
pub use self::logging::{LogFormat, Logging, LokiConfig};
pub use self::miner::{ConfigParts, MinerConfig};
pub use self::monitoring::{Monitoring, Resume, WandbConfig};
pub use self::network::{ChainConfig, Network, NetworkDevice};
pub use self::notice::Notice;
pub use self::raw::{Environment, RawConfig};
pub use self::redacted::Redacted;
pub use self::setting::{Candidate, Origin, Setting};
pub use self::storage::{AccessKey, CREDENTIALS_BYTES, ReadPlace, StorageConfig};
pub use self::validator::{ValidatorConfig, publishing_bucket};

/// The file that is read if none is named.
pub const ENV_FILE_DEFAULT: &str = ".env";

/// Returns the process's own environment. Variables that are not UTF-8 are left out. Under our names they become
/// characters that no value may hold, so that they are reported.
pub fn process_environment() -> Environment {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        let value = value.into_string().or_else(|value| match notice::is_ours(&name, &Origin::Environment) {
            true => Ok(value.to_string_lossy().into_owned()),
            false => Err(value),
        });
        Some((name, SecretString::from(value.ok()?)))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Returns the values of this environment and of the file: the named file, which must exist, or `.env` if it exists.
///
/// # Errors
/// [`EnvFileError`] if the file cannot be read or parsed.
pub fn load(environment: &Environment, env_file: Option<&Path>) -> Result<RawConfig, EnvFileError> {
    load_with(environment, env_file, &Inputs::default())
}

/// As [`load`]. Files in `inputs` are not read again; files that are read are kept there.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    environment: &Environment,
    env_file: Option<&Path>,
    inputs: &Inputs,
) -> Result<RawConfig, EnvFileError> {
    let path = env_file.map_or_else(|| PathBuf::from(ENV_FILE_DEFAULT), Path::to_owned);
    let file = match env_file {
        // If the working folder cannot be read, there is no file to use; Python finds none either.
        None if std::fs::metadata(&path).is_err() => None,
        _ => EnvFile::read(&path, inputs)?,
    };
    match (file, env_file) {
        (None, Some(_)) => Err(EnvFileError::Missing { path }),
        (file, _) => Ok(RawConfig::merge(environment, file.as_ref())),
    }
}
