//! A node: makes blocks at a steady pace and serves them through one or more doors.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jsonrpsee::server::{ServerBuilder, ServerHandle};
use subxt::ext::codec::Encode;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tower::ServiceBuilder;

use super::methods::methods;
use super::origin::RefuseOrigins;
use super::state::State;
use super::storage_keys::now_key;
use super::view::{Lie, Shared, View};
use crate::unix_ms;

/// A node that makes blocks while it is held.
pub struct Node {
    shared: Arc<Shared>,
    /// Where it is reached; each door has its own address.
    pub doors: Vec<Door>,
    _maker: JoinSet<()>,
}

/// One address under which a node is reached.
pub struct Door {
    /// URL under which it is reached.
    pub address: String,
    /// Address that it listens on.
    pub socket_address: SocketAddr,
    view: Arc<View>,
    _server: ServerHandle,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on loopback ({0}); free some ports or file descriptors")]
pub struct NodeError(#[from] std::io::Error);

/// Age of the newest block of a syncing node.
const SYNCING_AGE_MS: u64 = 7 * 24 * 3_600_000;

impl Node {
    /// Starts one on free ports of loopback, with a block every `block_ms`.
    ///
    /// # Errors
    /// [`NodeError`] if nothing can be listened on.
    pub async fn start(state: State, block_ms: u64, doors: usize) -> Result<Self, NodeError> {
        let shared = Arc::new(Shared { state: Mutex::new(state), changes: watch::Sender::new(0) });
        let mut opened = Vec::new();
        for _ in 0..doors {
            opened.push(Door::open(shared.clone()).await?);
        }
        let mut maker = JoinSet::new();
        maker.spawn(make_blocks(shared.clone(), block_ms));
        Ok(Self { shared, doors: opened, _maker: maker })
    }

    /// Returns the address of the first door.
    pub fn address(&self) -> &str {
        &self.doors[0].address
    }

    /// Reads or changes the state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Replaces the blocks from this one on, and announces the new ones.
    pub fn replace_from(&self, first: u64) {
        self.state().replace_from(first);
        self.shared.changed();
    }

    /// Notifies of every change of the chain.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Returns how often a method was called.
    pub fn calls(&self, method: &str) -> u32 {
        self.state().calls.get(method).copied().unwrap_or_default()
    }
}

impl Door {
    async fn open(shared: Arc<Shared>) -> Result<Self, NodeError> {
        let view = View {
            shared,
            frozen_at: Mutex::default(),
            syncing: Mutex::default(),
            false_heads: Mutex::default(),
            lie: Mutex::default(),
        };
        let view = Arc::new(view);
        let programs_alone = ServiceBuilder::new().layer(RefuseOrigins);
        let server = ServerBuilder::default().set_http_middleware(programs_alone).build("127.0.0.1:0").await?;
        let socket_address = server.local_addr()?;
        let address = format!("ws://{socket_address}");
        Ok(Self { address, socket_address, _server: server.start(methods(view.clone())), view })
    }

    /// Freezes the shown head, or unfreezes it.
    pub fn freeze(&self, is_frozen: bool) {
        let head = is_frozen.then(|| self.view.shared.state().head());
        *self.view.frozen_at.lock().expect("no holder panicked") = head;
        self.view.shared.changed();
    }

    /// Shows the chain like a node that is still syncing and a week behind, with nobody registered; or as it is.
    pub fn set_syncing(&self, is_syncing: bool) {
        let storage = is_syncing.then(|| BTreeMap::from([(now_key(), (unix_ms() - SYNCING_AGE_MS).encode())]));
        *self.view.syncing.lock().expect("no holder panicked") = storage;
        self.view.shared.changed();
    }

    /// Starts or stops lying.
    pub fn set_lie(&self, lie: Option<Lie>) {
        *self.view.lie.lock().expect("no holder panicked") = lie;
    }

    /// Announces one head that is `blocks` too high to every subscriber.
    pub fn announce_false_head(&self, blocks: u64) {
        let number = self.view.shared.state().head() + blocks;
        let mut false_heads = self.view.false_heads.lock().expect("no holder panicked");
        *false_heads = (false_heads.0 + 1, number);
        drop(false_heads);
        self.view.shared.changed();
    }
}

async fn make_blocks(shared: Arc<Shared>, block_ms: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(block_ms));
    // After a busy period the chain does not catch up: blocks never come faster than the block time.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        {
            let mut state = shared.state();
            if state.stands_still {
                continue;
            }
            state.make_block();
        }
        shared.changed();
    }
}
