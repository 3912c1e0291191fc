//! The chain itself: blocks, storage, the pool, and what of it misbehaves on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use grail_protocol::signature::Hotkey;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sp_crypto_hashing::{blake2_128, twox_64, twox_128};

use super::extrinsic::SetCommitment;

/// One block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    pub(crate) hash: [u8; 32],
    pub(crate) extrinsics: Vec<Vec<u8>>,
    pub(crate) events: Vec<u8>,
}

/// Why the pool does not take an extrinsic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolRefusal(pub(crate) &'static str);

/// Everything that a node knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) blocks: Vec<Block>,
    pub(crate) storage: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) spec_version: u32,
    /// How often each method was called.
    pub(crate) calls: BTreeMap<String, u32>,
    /// The error that is answered to a method instead of its result.
    pub(crate) errors: BTreeMap<String, (i32, String)>,
    /// The result that is answered to every method, but for the genesis hash.
    pub(crate) nonsense: Option<Value>,
    /// Methods that are never answered.
    pub(crate) mute: BTreeSet<String>,
    /// Whether blocks are made.
    pub(crate) stands_still: bool,
    nonces: BTreeMap<[u8; 32], u64>,
    pool: Vec<Vec<u8>>,
}

impl State {
    /// A chain with its genesis block, named so that no two have the same hashes.
    pub(crate) fn new(name: &str) -> Self {
        let hash = Sha256::digest(name).into();
        Self { blocks: vec![Block { hash, ..Block::default() }], spec_version: 461, ..Self::default() }
    }

    pub(crate) fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    pub(crate) fn genesis(&self) -> [u8; 32] {
        self.blocks[0].hash
    }

    pub(crate) fn block(&self, hash: &str) -> Option<(u64, &Block)> {
        (0..).zip(&self.blocks).find(|(_, block)| hex_text(&block.hash) == hash)
    }

    pub(crate) fn register(&mut self, netuid: u16, hotkey: Hotkey, uid: u16) {
        self.storage.insert(uid_key(netuid, hotkey.bytes()), uid.to_le_bytes().to_vec());
    }

    pub(crate) fn nonce(&self, account: &[u8; 32]) -> u64 {
        self.nonces.get(account).copied().unwrap_or_default()
    }

    /// The runtime's metadata, and whether it is offered by version.
    pub(crate) fn metadata(&self) -> (Vec<u8>, bool) {
        let (name, by_version) = match self.spec_version {
            461 => ("localnet-spec461.scale", true),
            _ => ("finney-spec365.scale", false),
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/chain").join(name);
        (std::fs::read(path).expect("the fixture is there"), by_version)
    }

    /// Take an extrinsic into the pool, or refuse it.
    pub(crate) fn submit(&mut self, extrinsic: &[u8]) -> Result<(), PoolRefusal> {
        let commitment = SetCommitment::read(extrinsic).ok_or(PoolRefusal("it is no set_commitment"))?;
        let (birth, death) = commitment.lifetime(self.head());
        let birth_block = self.blocks.get(birth as usize).ok_or(PoolRefusal("it is from the future"))?;
        if self.head() >= death {
            return Err(PoolRefusal("it is outdated"));
        }
        if !commitment.is_signed(self.spec_version, &self.genesis(), &birth_block.hash) {
            return Err(PoolRefusal("it has a bad signature"));
        }
        if commitment.nonce != self.nonce(commitment.hotkey.bytes()) {
            return Err(PoolRefusal("its nonce is not the next one"));
        }
        self.pool.push(extrinsic.to_vec());
        Ok(())
    }

    /// Make a block of the pool, and write what it changes.
    pub(crate) fn make_block(&mut self) {
        let parent = self.blocks.last().expect("there is a genesis").hash;
        let number = self.blocks.len() as u32;
        let hash = Sha256::new().chain_update(parent).chain_update(number.to_le_bytes()).finalize().into();
        // Every block begins with the time, set by its author.
        let mut extrinsics = vec![vec![0x28, 0x05, 0x02]];
        let mut events = vec![success(0)];
        for extrinsic in std::mem::take(&mut self.pool) {
            let index = extrinsics.len() as u32;
            events.push(match self.execute(number, &extrinsic) {
                Ok(()) => success(index),
                Err(error) => failure(index, error),
            });
            extrinsics.push(extrinsic);
        }
        let count = vec![(events.len() as u8) << 2];
        let events = [vec![count], events].concat().concat();
        self.blocks.push(Block { hash, extrinsics, events });
    }

    fn execute(&mut self, number: u32, extrinsic: &[u8]) -> Result<(), u8> {
        let commitment = SetCommitment::read(extrinsic).expect("the pool holds nothing else");
        let hotkey = *commitment.hotkey.bytes();
        *self.nonces.entry(hotkey).or_default() += 1;
        if !self.storage.contains_key(&uid_key(commitment.netuid, &hotkey)) {
            return Err(1);
        }
        let tag = commitment.field.len() as u8 + 1;
        let value = [&[0; 8][..], &number.to_le_bytes(), &[4, tag], &commitment.field].concat();
        self.storage.insert(commitment_key(commitment.netuid, &hotkey), value);
        Ok(())
    }
}

/// `0x` and hex.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// System.Events.
pub(crate) fn events_key() -> Vec<u8> {
    [twox_128(b"System"), twox_128(b"Events")].concat()
}

fn uid_key(netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    let entry = [twox_128(b"SubtensorModule"), twox_128(b"Uids")].concat();
    [&entry[..], &netuid.to_le_bytes(), &blake2_128(hotkey), hotkey].concat()
}

fn commitment_key(netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    let entry = [twox_128(b"Commitments"), twox_128(b"CommitmentOf")].concat();
    [&entry[..], &netuid.to_le_bytes(), &twox_64(hotkey), hotkey].concat()
}

/// System.ExtrinsicSuccess.
fn success(index: u32) -> Vec<u8> {
    [&[0][..], &index.to_le_bytes(), &[0, 0], &[0; 4], &[0]].concat()
}

/// System.ExtrinsicFailed with an error of the pallet Commitments.
fn failure(index: u32, error: u8) -> Vec<u8> {
    [&[0][..], &index.to_le_bytes(), &[0, 1], &[3, 0x12, error, 0, 0, 0], &[0; 4], &[0]].concat()
}
