//! Content of a tape: a header, then steps, and the machine's state between windows.
//!
//! Each format has a number and its own decoder, forever; the newest also has an encoder.

pub(super) mod v1;

use std::io::Read;

use grail_folder::frames::{FileKind, PAYLOAD_BYTES_MAX};
use grail_miner::decisions::VERSIONS;
use grail_miner::machine::{MachineSecrets, MachineSettings};
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_protocol::budget::Budget;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redaction::stand_in;
use super::role::{Miner, Role, Validator};

/// The format that this build writes.
pub const FORMAT: u32 = v1::FORMAT;
/// Payloads above this size are compressed.
const COMPRESSED_FROM_BYTES: usize = 256;
/// Real data compresses about 5:1. Above this ratio the stated size is not trusted, and the buffer grows as data arrives.
const BELIEVED_RATIO_MAX: usize = 64;
/// A larger buffer is freed before the next payload.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// The fastest level that still halves token lists.
const COMPRESSION_LEVEL: i32 = 1;

/// Returns how a file of this role starts.
pub(super) const fn kind<R: Role>() -> FileKind {
    FileKind { magic: R::MAGIC, version: FORMAT }
}

/// Header of a tape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Header<R: Role = Miner> {
    /// The program that recorded it, with its version.
    pub program: String,
    /// The reference release whose protocol it speaks.
    pub protocol: String,
    /// The engine that made the rollouts, or judged them.
    pub engine: String,
    /// The model that it ran, as it was named.
    pub model: Option<String>,
    /// Numerics of the proofs, if a CUDA device made them: `torch-2.8` or `torch-2.10`.
    pub numerics: Option<String>,
    /// In a simulation the seed of all randomness, also of the invented key; live seeds are secret.
    pub simulated_seed: Option<u64>,
    /// The tape that this one continues from, where a run has several.
    pub continues: Option<String>,
    /// How the machine was configured, and which versions of decisions were in force.
    pub settings: R::Settings,
    /// Placeholder of a miner's read credentials: bytes of the same length that are equal if the credentials are. A
    /// validator has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_credentials: Vec<u8>,
}

/// One event, and the machine's actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Step<R: Role = Miner> {
    /// Its number in the run, from 0; one that is left out was lost.
    pub number: u64,
    /// Monotonic milliseconds.
    pub monotonic_ms: u64,
    /// Wall milliseconds.
    pub wall_ms: u64,
    /// The machine's input.
    pub event: R::Event,
    /// Its actions, one line each; large values as a digest.
    pub actions: Vec<String>,
}

/// One frame after the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Frame<R: Role = Miner> {
    /// An event and its actions.
    Step(Box<Step<R>>),
    /// The machine's state between two windows: after the step before, or at the start of a tape that continues another
    /// one.
    State(Value),
}

impl<R: Role> Header<R> {
    fn new(settings: &R::Settings, engine: &str) -> Self {
        Self {
            program: concat!("grail ", env!("CARGO_PKG_VERSION")).to_owned(),
            protocol: PROTOCOL.reference_release.to_owned(),
            engine: engine.to_owned(),
            model: None,
            numerics: None,
            simulated_seed: None,
            continues: None,
            settings: settings.clone(),
            read_credentials: Vec::new(),
        }
    }

    /// Returns the same for rollouts of this model.
    pub fn with_model(self, model: &str) -> Self {
        Self { model: Some(model.to_owned()), ..self }
    }

    /// Returns the same for proofs with these numerics.
    pub fn with_numerics(self, numerics: &str) -> Self {
        Self { numerics: Some(numerics.to_string()), ..self }
    }

    /// Returns the same for a simulation under this seed.
    pub fn simulated(self, seed: u64) -> Self {
        Self { simulated_seed: Some(seed), ..self }
    }

    /// Returns the machine that was recorded, before its first event.
    pub fn machine(&self) -> R::Machine {
        R::machine(&self.settings, &self.read_credentials)
    }

    /// Returns the recorded machine in a recorded state; none if this build does not understand the state.
    pub fn machine_in(&self, state: &Value) -> Option<R::Machine> {
        R::restored(&self.settings, &self.read_credentials, state)
    }
}

impl Header {
    /// Returns the header of what this build records.
    pub fn of(settings: &MachineSettings, secrets: &MachineSecrets, engine: &str) -> Self {
        Self { read_credentials: stand_in(&secrets.read_credentials), ..Self::new(settings, engine) }
    }

    /// Returns placeholders for the machine's secrets: the sampling seed is not recorded.
    pub fn secrets(&self, seed: u64) -> MachineSecrets {
        MachineSecrets { seed, read_credentials: self.read_credentials.clone() }
    }

    /// Numbers of decision versions that this build does not know.
    pub fn unknown_decisions(&self) -> Vec<u32> {
        self.settings.decisions.unknown_to(VERSIONS)
    }
}

impl Header<Validator> {
    /// Returns the header of a validator that judges with this engine.
    pub fn of_validator(settings: &grail_validator::Settings, engine: &str) -> Self {
        Self::new(settings, engine)
    }
}

impl<R: Role> Step<R> {
    /// When it was.
    pub const fn now(&self) -> Now {
        Now { monotonic_ms: self.monotonic_ms, wall_ms: self.wall_ms }
    }

    /// Returns its event in a line.
    pub fn event_line(&self) -> String {
        R::event_line(&self.event)
    }
}

/// Returns a machine's state, as a tape holds it and as it can be shown.
pub fn state_of(snapshot: &impl Serialize) -> Value {
    serde_json::to_value(snapshot).expect("plain data with text for keys")
}

/// Returns a payload as it is in its frame: a byte that says whether it is compressed, then the bytes.
pub(super) fn packed(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    if payload.len() < COMPRESSED_FROM_BYTES {
        return Ok([&[0], payload].concat());
    }
    Ok([vec![1], zstd::bulk::compress(payload, COMPRESSION_LEVEL)?].concat())
}

/// Undoes [`packed`]; keeps its decompressor and its buffer from one payload to the next.
pub(super) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    payload: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        let zstd = zstd::bulk::Decompressor::new().expect("it wants nothing but memory");
        Self { zstd, payload: Vec::new() }
    }

    /// Returns the payload; none if it is damaged, or longer than what is left of the budget.
    pub(super) fn unpack<'a>(&'a mut self, packed: &'a [u8], budget: &Budget) -> Option<&'a [u8]> {
        match packed.split_first()? {
            (0, payload) => budget.spend(payload.len()).is_ok().then_some(payload),
            (1, compressed) => self.decompress(compressed, budget),
            _ => None,
        }
    }

    fn decompress(&mut self, compressed: &[u8], budget: &Budget) -> Option<&[u8]> {
        let Self { zstd, payload } = self;
        let stated = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten();
        let stated =
            stated.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX)?;
        budget.spend(stated).ok()?;
        payload.clear();
        payload.shrink_to(KEPT_BYTES_MAX);
        if stated <= compressed.len().saturating_mul(BELIEVED_RATIO_MAX) {
            payload.reserve(stated);
            zstd.decompress_to_buffer(compressed, payload).ok()?;
        } else {
            // A stated size alone allocates nothing.
            let mut reader = zstd::Decoder::new(compressed).ok()?.take(stated as u64 + 1);
            reader.read_to_end(payload).ok()?;
        }
        (payload.len() == stated).then_some(payload.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 1 << 20;

    fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
        Unpacker::new().unpack(packed, &Budget::new(BYTES_MAX)).map(<[u8]>::to_vec)
    }

    #[test]
    fn packed_payloads_unpack_at_any_size() {
        for payload in [vec![7; 10], (0..=255).collect(), vec![0; BYTES_MAX]] {
            assert_eq!(unpacked(&packed(&payload).unwrap()), Some(payload));
        }
    }

    #[test]
    fn more_than_the_limit_is_refused_by_announced_and_by_received_length() {
        let bomb = packed(&vec![0; BYTES_MAX + 1]).unwrap();
        assert!(bomb.len() < 200, "{} bytes", bomb.len());
        assert_eq!(unpacked(&bomb), None);
        // A frame of one raw block that says that it holds 2^62 bytes, and one that says 512 and holds 3.
        let stating = |bytes: u64| {
            let frame =
                [&[0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x40], &bytes.to_le_bytes()[..], &[0x19, 0, 0], b"abc"].concat();
            [vec![1], frame].concat()
        };
        assert_eq!(unpacked(&stating(1 << 62)), None);
        assert_eq!(unpacked(&stating(BYTES_MAX as u64)), None);
        assert_eq!(unpacked(&stating(512)), None);
    }
}
