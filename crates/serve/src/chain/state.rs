//! The chain itself: blocks, storage, the pool, and its faults.

use std::collections::{BTreeMap, BTreeSet};

use grail_protocol::constants::window_start;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subxt::ext::codec::{Compact, Encode};

use super::block_content::{failure, set_time, success};
use super::extrinsic::Extrinsic;
use super::runtime::Runtime;
use super::storage_keys::{now_key, number_key};
use super::{decoded, hex_text};
use crate::unix_ms;

/// A window's first block is replaced when this many follow it.
const REPLACED_AFTER_BLOCKS: u64 = 2;

/// One block.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash of the one before.
    pub parent: [u8; 32],
    /// Executed extrinsics, encoded.
    pub extrinsics: Vec<Vec<u8>>,
    /// Events, encoded as System.Events.
    pub events: Vec<u8>,
}

/// Why the pool refuses an extrinsic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolRefusal(pub &'static str);

/// Everything that a node knows.
#[derive(Debug, Default)]
pub struct State {
    /// The blocks from the genesis on.
    pub blocks: Vec<Block>,
    /// The newest block's storage; older blocks answer with the same.
    pub storage: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How far the clock of anyone who makes blocks is ahead of ours.
    pub clock_offset_ms: i64,
    /// Runtime that executes blocks and checks signatures.
    pub runtime: Runtime,
    /// How often each method was called.
    pub calls: BTreeMap<String, u32>,
    /// The error that is answered to a method instead of its result.
    pub errors: BTreeMap<String, (i32, String)>,
    /// The error that is answered to every method.
    pub error_for_all: Option<(i32, String)>,
    /// The result of every method except the genesis hash.
    pub nonsense: Option<Value>,
    /// Methods that are never answered.
    pub mute: BTreeSet<String>,
    /// Whether no method is ever answered.
    pub is_mute: bool,
    /// Whether no blocks are made.
    pub stands_still: bool,
    /// Whether each window's first block is replaced two blocks later.
    pub replaces_window_starts: bool,
    replacements: u64,
    pub(super) nonces: BTreeMap<[u8; 32], u64>,
    pub(super) pool: Vec<Vec<u8>>,
}

impl State {
    /// Creates a chain with its genesis block, named so that no two have the same hashes.
    pub fn new(name: &str) -> Self {
        let hash = Sha256::digest(name).into();
        Self { blocks: vec![Block { hash, ..Block::default() }], ..Self::default() }
    }

    /// Returns the number of the newest block.
    pub fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// Returns the hash of the first block.
    pub fn genesis(&self) -> [u8; 32] {
        self.blocks[0].hash
    }

    /// Returns the block with this hash in hex, and its number.
    pub fn block(&self, hash: &str) -> Option<(u64, &Block)> {
        let hash: [u8; 32] = decoded(hash).try_into().ok()?;
        self.newest_block(|block| block.hash == hash)
    }

    /// Returns the newest block of which this holds, and its number.
    pub(super) fn newest_block(&self, holds: impl Fn(&Block) -> bool) -> Option<(u64, &Block)> {
        let number = self.blocks.iter().rposition(holds)?;
        Some((number as u64, &self.blocks[number]))
    }

    /// Returns the hash of a block as the protocol writes it, if it was made.
    pub fn hash(&self, number: u64) -> Option<String> {
        self.blocks.get(usize::try_from(number).ok()?).map(|block| hex_text(&block.hash))
    }

    /// Returns how many extrinsics an account has sent.
    pub fn nonce(&self, account: &[u8; 32]) -> u64 {
        self.nonces.get(account).copied().unwrap_or_default()
    }

    /// Takes an extrinsic into the pool, or refuse it.
    ///
    /// # Errors
    /// [`PoolRefusal`] if it is malformed, outdated, not signed, or not the account's next.
    pub fn submit(&mut self, bytes: &[u8]) -> Result<(), PoolRefusal> {
        let extrinsic = Extrinsic::read(bytes).ok_or(PoolRefusal("it is not a signed call that this chain has"))?;
        let (birth, death) = extrinsic.validity.lifetime(self.head());
        let birth_block = self.blocks.get(birth as usize).ok_or(PoolRefusal("it is from the future"))?;
        if self.head() >= death {
            return Err(PoolRefusal("it is outdated"));
        }
        if !extrinsic.is_signed(self.runtime.spec_version(), &self.genesis(), &birth_block.hash) {
            return Err(PoolRefusal("it has a bad signature"));
        }
        if extrinsic.nonce != self.nonce(extrinsic.signer.bytes()) {
            return Err(PoolRefusal("its nonce is not the next one"));
        }
        self.pool.push(bytes.to_vec());
        Ok(())
    }

    /// Makes a block from the pool, and writes its changes.
    pub fn make_block(&mut self) {
        let number = self.blocks.len() as u64;
        if self.replaces_window_starts && number == window_start(number) + REPLACED_AFTER_BLOCKS {
            self.replace_from(window_start(number));
        }
        let parent = self.blocks.last().map(|block| block.hash).unwrap_or_default();
        // Every block starts with the time, set by its author.
        let unix_ms = unix_ms().saturating_add_signed(self.clock_offset_ms);
        self.storage.insert(now_key(), unix_ms.encode());
        self.storage.insert(number_key(), (number as u32).encode());
        let mut extrinsics = vec![set_time(unix_ms)];
        let mut events = vec![success(0)];
        for bytes in std::mem::take(&mut self.pool) {
            let Some(extrinsic) = Extrinsic::read(&bytes) else { continue };
            let index = extrinsics.len() as u32;
            events.push(match self.execute(number, &extrinsic) {
                Ok(()) => success(index),
                Err(error) => failure(index, error),
            });
            extrinsics.push(bytes);
        }
        let count = Compact(events.len() as u32).encode();
        let events = [vec![count], events].concat().concat();
        self.blocks.push(Block { hash: self.block_hash(&parent, number), parent, extrinsics, events });
    }

    /// Replaces the blocks from this one on by others of the same content.
    pub fn replace_from(&mut self, first: u64) {
        self.replacements += 1;
        for number in first.max(1)..self.blocks.len() as u64 {
            let parent = self.blocks[number as usize - 1].hash;
            let hash = self.block_hash(&parent, number);
            let block = &mut self.blocks[number as usize];
            (block.hash, block.parent) = (hash, parent);
        }
    }

    fn block_hash(&self, parent: &[u8; 32], number: u64) -> [u8; 32] {
        let hash = Sha256::new().chain_update(parent).chain_update(number.to_le_bytes());
        hash.chain_update(self.replacements.to_le_bytes()).finalize().into()
    }
}
