//! The beacon of a custom network. Public networks use drand's quicknet, which cannot be configured.

use grail_miner::ports::BeaconSchedule;

use super::endpoint::EndpointUrl;
use super::error::ConfigError;
use super::network::{Network, parse_addresses};
use super::reader::Reader;

const URLS: &str = "GRAIL_DRAND_URLS";
const CHAIN_HASH: &str = "GRAIL_DRAND_CHAIN_HASH";
const PUBLIC_KEY: &str = "GRAIL_DRAND_PUBLIC_KEY";
const GENESIS: &str = "GRAIL_DRAND_GENESIS";
const PERIOD: &str = "GRAIL_DRAND_PERIOD";
const ALL: [&str; 5] = [URLS, CHAIN_HASH, PUBLIC_KEY, GENESIS, PERIOD];

/// A drand network other than quicknet.
#[derive(Debug, Clone, PartialEq)]
pub struct BeaconConfig {
    /// Its relays, in the order to try them; at least one.
    pub relays: Vec<EndpointUrl>,
    /// Its chain hash in hex.
    pub chain_hash: String,
    /// Its public key in hex.
    pub public_key: String,
    /// When its rounds are due.
    pub schedule: BeaconSchedule,
}

/// Returns the typed beacon; none if nothing was typed or a value cannot be used.
pub(super) fn read(reader: &mut Reader<'_>, network: Option<Network>) -> Option<BeaconConfig> {
    let typed = ALL.into_iter().find(|name| reader.typed.get(name).is_some())?;
    // If the network cannot be read, only that error is reported.
    if matches!(network, Some(Network::Finney | Network::Test)) {
        reader.errors.push(ConfigError::OnlyCustom { name: typed });
        return None;
    }
    let remedy = "take it from your drand network's /info, or take all GRAIL_DRAND_* out to use quicknet";
    for name in ALL.into_iter().filter(|name| reader.typed.get(name).is_none()) {
        reader.errors.push(ConfigError::Missing { name, remedy });
    }
    let expected = "http:// or https:// addresses with a comma between";
    let relays = reader.parsed(URLS, expected, |text| parse_addresses(text, &["http", "https"]));
    let digits = |count: usize| {
        move |text: &str| {
            let is_hex = text.len() == count && text.bytes().all(|b| b.is_ascii_hexdigit());
            is_hex.then(|| text.to_ascii_lowercase())
        }
    };
    let chain_hash = reader.parsed(CHAIN_HASH, "64 hex digits, `hash` of the network's /info", digits(64));
    let public_key = reader.parsed(PUBLIC_KEY, "192 hex digits, `public_key` of the network's /info", digits(192));
    let genesis_s = reader
        .parsed(GENESIS, "seconds since 1970, `genesis_time` of the network's /info", |text| text.parse::<u64>().ok());
    let period_s = reader.parsed(PERIOD, "whole seconds above 0, `period` of the network's /info", |text| {
        text.parse::<u64>().ok().filter(|&period| period > 0)
    });
    Some(BeaconConfig {
        relays: relays?,
        chain_hash: chain_hash?,
        public_key: public_key?,
        schedule: BeaconSchedule { genesis_s: genesis_s?, period_s: period_s? },
    })
}
