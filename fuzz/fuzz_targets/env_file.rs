//! A `.env` file: every value that is read can be read again from quotes, and the whole configuration gives an error or
//! a miner.
#![no_main]

use std::path::Path;

use grail_config::{EnvFile, Environment, MinerConfig, RawConfig};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;

fuzz_target!(|text: &str| {
    let path = Path::new(".env");
    let Ok(file) = EnvFile::parse(path, text) else { return };
    for entry in &file.entries {
        let value = entry.value.expose_secret();
        // A single quote and what escapes it cannot be between single quotes.
        if !value.contains(['\'', '\\', '\r']) {
            let again = EnvFile::parse(path, &format!("\n{}='{value}'", entry.name)).expect("quoted as it should be");
            assert_eq!(again.entries.len(), 1);
            assert_eq!(
                (again.entries[0].name.as_str(), again.entries[0].value.expose_secret()),
                (entry.name.as_str(), value)
            );
        }
    }
    let _ = MinerConfig::from_raw(&RawConfig::merge(&Environment::new(), Some(&file)));
});
