//! Which chain, through which nodes, and which subnet of it.

use grail_protocol::PROTOCOL;

use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::notice::Notice;
use super::reader::Reader;

/// Which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub endpoints: Vec<Endpoint>,
    /// The subnet's id.
    pub netuid: u16,
}

impl Network {
    /// The name in `BT_NETWORK`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finney => "finney",
            Self::Test => "test",
            Self::Custom => "custom",
        }
    }

    /// The public nodes.
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

    fn parse(text: &str) -> Option<Self> {
        [Self::Finney, Self::Test, Self::Custom].into_iter().find(|network| network.name() == text)
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<ChainConfig> {
    let expected = "finney, test or custom; for a node of your own set custom, and BT_CHAIN_ENDPOINT to its address";
    let network = reader.parsed("BT_NETWORK", expected, Network::parse);
    let expected = "ws:// or wss:// addresses with a comma between";
    let typed = reader.parsed("BT_CHAIN_ENDPOINT", expected, parse_endpoints);
    let netuid = reader.parsed("NETUID", "a whole number from 0 to 65535", |text| text.parse::<u16>().ok());
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
    let public = || network.endpoints().iter().filter_map(|text| Endpoint::parse(text, &["wss"])).collect();
    let endpoints = if is_typed { typed? } else { public() };
    Some(ChainConfig { network, endpoints, netuid })
}

fn parse_endpoints(text: &str) -> Option<Vec<Endpoint>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let endpoints: Option<Vec<Endpoint>> = parts.map(|part| Endpoint::parse(part, &["ws", "wss"])).collect();
    endpoints.filter(|endpoints| !endpoints.is_empty())
}
