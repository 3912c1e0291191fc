//! The intended network, and the timeouts for its endpoints.

use grail_protocol::PROTOCOL;

/// Genesis of the main network.
pub const FINNEY_GENESIS: [u8; 32] = [
    0x2f, 0x05, 0x55, 0xcc, 0x76, 0xfc, 0x28, 0x40, 0xa2, 0x5a, 0x6e, 0xa3, 0xb9, 0x63, 0x71, 0x46, 0x80, 0x6f, 0x1f,
    0x44, 0xb0, 0x90, 0xc1, 0x75, 0xff, 0xde, 0x2a, 0x7e, 0x5a, 0xb3, 0x6c, 0x03,
];

/// The chain's endpoints and our subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSettings {
    /// Websocket addresses, best first.
    pub endpoints: Vec<String>,
    /// The hash of block 0, if the network is known; every endpoint must agree.
    pub genesis: Option<[u8; 32]>,
    /// The subnet.
    pub netuid: u16,
    /// Expected time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// Timeouts for endpoints.
    pub patience: ChainPatience,
}

impl ChainSettings {
    /// Creates a network of which only the endpoints are known.
    pub fn custom(endpoints: impl IntoIterator<Item = impl Into<String>>, netuid: u16) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Self { endpoints, genesis: None, netuid, block_ms: PROTOCOL.block_ms, patience: ChainPatience::default() }
    }
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPatience {
    /// After this long, an attempt to connect has failed.
    pub connect_ms: u64,
    /// After this long without an answer, a connection is dead.
    pub request_ms: u64,
    /// How much longer than the first answer a second endpoint's opinion on a block's hash may take.
    pub witness_ms: u64,
    /// An endpoint whose newest block is older than this, or than five blocks take, is behind.
    pub fresh_ms: u64,
    /// Pause between two polls of the head, if it cannot be subscribed to.
    pub poll_ms: u64,
    /// Before the second attempt to connect; doubles once every endpoint has failed again.
    pub backoff_ms_min: u64,
    /// The longest that it grows to.
    pub backoff_ms_max: u64,
    /// Between two requests to a public node.
    pub public_interval_ms: u64,
}

impl Default for ChainPatience {
    fn default() -> Self {
        Self {
            connect_ms: 4_000,
            request_ms: 20_000,
            witness_ms: 700,
            fresh_ms: 60_000,
            poll_ms: 2_000,
            backoff_ms_min: 250,
            backoff_ms_max: 8_000,
            public_interval_ms: 1_000,
        }
    }
}

/// Why there is no adapter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainSettingsError {
    /// The list is empty.
    #[error("no chain endpoint is configured; name at least one, such as ws://127.0.0.1:9944")]
    NoEndpoint,
    /// The entry at this place in the list, from 1, is no address. It is not shown, since it may hold an access key.
    #[error("chain endpoint {0} is not a websocket address; it must look like wss://host:443 or ws://host:9944")]
    Endpoint(usize),
}
