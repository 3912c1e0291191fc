//! Which chain, through which nodes, and which subnet of it.

use grail_protocol::PROTOCOL;
use secrecy::ExposeSecret;

use super::endpoint::EndpointUrl;
use super::error::ConfigError;
use super::notice::Notice;
use super::raw::RawConfig;
use super::reader::Reader;

const BLOCK_TIME: &str = "GRAIL_BLOCK_TIME";

/// Which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Network {
    /// The public chain.
    Finney,
    /// The public test chain.
    Test,
    /// A chain of the operator's own, with its own rules.
    Custom,
}

/// How to reach the subnet.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainConfig {
    /// Which chain.
    pub network: Network,
    /// Its nodes, in the order to try them; at least one.
    pub endpoints: Vec<EndpointUrl>,
    /// The subnet's id.
    pub netuid: u16,
    /// Time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// The kind of device of this network's validators, if a custom network names it.
    pub device: Option<NetworkDevice>,
}

/// A kind of device. Each kind computes proofs with other bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum NetworkDevice {
    /// A processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl NetworkDevice {
    /// Returns the name in `GRAIL_DEVICE`, and what `--device` takes.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Network {
    /// Returns the name in `BT_NETWORK`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the public nodes.
    const fn endpoints(self) -> &'static [&'static str] {
        match self {
            Self::Finney => &[
                "wss://entrypoint-finney.opentensor.ai:443",
                "wss://lite.chain.opentensor.ai:443",
                "wss://lite.sub.latent.to:443",
            ],
            Self::Test => &["wss://test.finney.opentensor.ai:443"],
            Self::Custom => &[],
        }
    }
}

/// Returns the network that is typed, if it is one.
pub(super) fn named(typed: &RawConfig) -> Option<Network> {
    typed.get("BT_NETWORK")?.won.value.expose_secret().parse().ok()
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<ChainConfig> {
    let expected = "finney, test or custom; for a node of your own set custom, and BT_CHAIN_ENDPOINT to its address";
    let network = reader.parsed("BT_NETWORK", expected, |text| text.parse::<Network>().ok());
    let expected = "ws:// or wss:// addresses with a comma between";
    let typed = reader.parsed("BT_CHAIN_ENDPOINT", expected, |text| parse_addresses(text, &["ws", "wss"]));
    let netuid = reader.parsed("NETUID", "a whole number from 0 to 65535", |text| text.parse::<u16>().ok());
    let block_ms = read_block_ms(reader, network);
    let expected = "cpu or cuda, or take it out";
    let device = reader.parsed("GRAIL_DEVICE", expected, |text| text.parse::<NetworkDevice>().ok());
    let (network, netuid) = (network?, netuid?);
    let is_typed = reader.typed.get("BT_CHAIN_ENDPOINT").is_some();
    if network == Network::Custom && !is_typed {
        reader.errors.push(ConfigError::CustomWithoutEndpoint);
        return None;
    }
    if network == Network::Finney && netuid != PROTOCOL.netuid {
        let what = format!("is {netuid}, and GRAIL is subnet {} of finney: take it out", PROTOCOL.netuid);
        reader.notices.push(Notice::Doubtful { name: "NETUID", what });
    }
    let public = || network.endpoints().iter().filter_map(|text| EndpointUrl::parse(text, &["wss"])).collect();
    let endpoints = if is_typed { typed? } else { public() };
    Some(ChainConfig {
        network,
        endpoints,
        netuid,
        block_ms: block_ms?,
        device: device.filter(|_| network == Network::Custom),
    })
}

/// Returns the addresses in a list with commas between; at least one.
pub(super) fn parse_addresses(text: &str, schemes: &[&str]) -> Option<Vec<EndpointUrl>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let endpoints: Option<Vec<EndpointUrl>> = parts.map(|part| EndpointUrl::parse(part, schemes)).collect();
    endpoints.filter(|endpoints| !endpoints.is_empty())
}

/// Returns the time between blocks, which only custom chains may change.
fn read_block_ms(reader: &mut Reader<'_>, network: Option<Network>) -> Option<u64> {
    if reader.typed.get(BLOCK_TIME).is_none() {
        return Some(PROTOCOL.block_ms);
    }
    if matches!(network, Some(Network::Finney | Network::Test)) {
        reader.errors.push(ConfigError::OnlyCustom { name: BLOCK_TIME });
        return None;
    }
    reader.parsed(BLOCK_TIME, "seconds from 0.05 to 60", |text| {
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.05..=60.0).contains(seconds))?;
        Some((seconds * 1000.0).round() as u64)
    })
}
