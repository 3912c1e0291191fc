//! What lies on a tape: a header, then steps, and digests of the machine's state between windows.

use grail_miner::machine::{Action, Event, Machine, MachineConfig};
use grail_miner::policy::UploadPolicy;
use grail_miner::ports::{BeaconSchedule, Now};
use grail_protocol::PROTOCOL;
use grail_protocol::signature::Hotkey;
use serde::{Deserialize, Serialize};

use super::redaction::stand_in;
use crate::frames::FileKind;

/// The format that this build writes; each has a decoder of its own, for ever.
pub const FORMAT: u32 = 1;
pub(super) const KIND: FileKind = FileKind { magic: *b"GRAILTAP", version: FORMAT };
/// Payloads above this size are compressed.
const COMPRESSED_FROM_BYTES: usize = 256;
/// The fastest level that still halves token lists.
const COMPRESSION_LEVEL: i32 = 1;

/// What a tape begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The program that recorded it, with its version.
    pub program: String,
    /// The reference release whose protocol it speaks.
    pub protocol: String,
    /// Numbers of the intended changes of behaviour that were in force; none is ever used again.
    pub behaviour: Vec<u32>,
    /// What made the rollouts.
    pub engine: String,
    /// How the machine was configured.
    pub config: RecordedConfig,
}

/// A [`MachineConfig`] without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the one of that name in MachineConfig")]
pub struct RecordedConfig {
    pub hotkey: Hotkey,
    pub use_drand: bool,
    pub beacon: BeaconSchedule,
    pub policy: UploadPolicy,
    pub safety_blocks: u64,
    pub reorganisation_blocks_max: u64,
    pub groups_in_flight_max: usize,
    pub groups_max: Option<u32>,
    pub early_upload_ms: Option<u64>,
    pub block_ms: u64,
    /// A stand-in of the same length.
    pub read_credentials: Vec<u8>,
}

/// One event, and what the machine made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Monotonic milliseconds.
    pub monotonic_ms: u64,
    /// Wall milliseconds.
    pub wall_ms: u64,
    /// What the machine was told.
    pub event: Event,
    /// What it asked for, one line each, bulk by digest.
    pub actions: Vec<String>,
}

/// One frame after the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// An event and its actions.
    Step(Box<Step>),
    /// Digest of the machine's state after the step before, at a window's end.
    State(String),
}

impl Header {
    /// The header of what this build records.
    pub fn of(config: &MachineConfig, engine: &str) -> Self {
        Self {
            program: concat!("grail ", env!("CARGO_PKG_VERSION")).to_owned(),
            protocol: PROTOCOL.reference_release.to_owned(),
            behaviour: Vec::new(),
            engine: engine.to_owned(),
            config: RecordedConfig::of(config),
        }
    }
}

impl RecordedConfig {
    /// What may be recorded of a configuration.
    pub fn of(config: &MachineConfig) -> Self {
        Self {
            hotkey: config.hotkey,
            use_drand: config.use_drand,
            beacon: config.beacon,
            policy: config.policy,
            safety_blocks: config.safety_blocks,
            reorganisation_blocks_max: config.reorganisation_blocks_max,
            groups_in_flight_max: config.groups_in_flight_max,
            groups_max: config.groups_max,
            early_upload_ms: config.early_upload_ms,
            block_ms: config.block_ms,
            read_credentials: stand_in(&config.read_credentials),
        }
    }

    /// The machine that was recorded, before its first event.
    pub fn machine(&self) -> Machine {
        Machine::new(MachineConfig {
            seed: 0,
            use_drand: self.use_drand,
            beacon: self.beacon,
            policy: self.policy,
            safety_blocks: self.safety_blocks,
            reorganisation_blocks_max: self.reorganisation_blocks_max,
            groups_in_flight_max: self.groups_in_flight_max,
            groups_max: self.groups_max,
            early_upload_ms: self.early_upload_ms,
            block_ms: self.block_ms,
            ..MachineConfig::new(self.hotkey, self.read_credentials.clone())
        })
    }
}

impl Step {
    /// When it was.
    pub const fn now(&self) -> Now {
        Now { monotonic_ms: self.monotonic_ms, wall_ms: self.wall_ms }
    }
}

/// An action as a tape has it: as [`Action::summary`] tells it.
pub(super) fn line(action: &Action) -> String {
    action.summary()
}

/// A payload as it lies in its frame: a byte that tells whether it is compressed, then the bytes.
pub(super) fn packed(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    if payload.len() < COMPRESSED_FROM_BYTES {
        return Ok([&[0], payload].concat());
    }
    Ok([vec![1], zstd::bulk::compress(payload, COMPRESSION_LEVEL)?].concat())
}

/// What `packed` made of a payload, undone.
pub(super) fn unpacked(packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    match packed.split_first()? {
        (0, payload) => Some(payload.to_vec()),
        (1, compressed) => zstd::bulk::decompress(compressed, bytes_max).ok(),
        _ => None,
    }
}
