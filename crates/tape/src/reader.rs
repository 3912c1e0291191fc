//! Reading a tape, whole or up to where a crash cut it.

use std::path::{Path, PathBuf};

use grail_miner::frames::{FileKind, FrameDamage, PAYLOAD_BYTES_MAX, Scan, scan, version};
use grail_miner::machine::{Machine, MachineConfig, Snapshot};
use serde_json::Value;

use super::format::{FORMAT, Frame, Header, KIND, MAGIC, Step, Unpacker, v1, v2, v3};
use super::many::in_parallel_with;
use crate::archive::{BundleError, is_bundle, tapes_in};

/// A tape in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tape {
    /// What it begins with.
    pub header: Header,
    /// What follows, in order.
    pub frames: Vec<Frame>,
    /// Bytes at the end that a crash left unfinished.
    pub torn_bytes: usize,
    /// The format that it was written in.
    pub format: u32,
}

/// Why a tape cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The operating system refuses.
    #[error("cannot read the tape {} ({source}); check the path", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An archive without a tape, or none at all.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The file is not a tape, or damaged.
    #[error("the tape {} is damaged: {damage}; replay a copy of it, or another tape", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        damage: FrameDamage,
    },
    /// There is no header: the recorder was killed before it wrote one.
    #[error("the tape {} ends before its header; nothing was recorded", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A frame whose checksum holds and whose content makes no sense.
    #[error("frame {number} of the tape {} cannot be decoded; it was written by another build of this format", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Its number, from 0 for the header.
        number: usize,
    },
}

impl Tape {
    /// Read the tape in this file, or the first one of a bundle.
    ///
    /// # Errors
    /// [`TapeError`]; a tape that ends in the middle of a frame is read up to that frame.
    pub fn read(path: &Path) -> Result<Self, TapeError> {
        Ok(Self::read_all(path)?.swap_remove(0))
    }

    /// The tape in this file, or every tape in this bundle; there is at least one.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(path: &Path) -> Result<Vec<Self>, TapeError> {
        let bytes = std::fs::read(path).map_err(|source| TapeError::Io { path: path.to_owned(), source })?;
        if !is_bundle(&bytes) {
            return Ok(vec![Self::parse(path, &bytes)?]);
        }
        tapes_in(path, &bytes)?.into_iter().map(|(name, bytes)| Self::parse(&path.join(name), &bytes)).collect()
    }

    /// The tape that these bytes are; `path` is for errors.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TapeError> {
        let path = || path.to_owned();
        let damaged = |damage| TapeError::Damaged { path: path(), damage };
        let version = version(&MAGIC, bytes).unwrap_or(FORMAT);
        let is_known = [v1::FORMAT, v2::FORMAT].contains(&version);
        let kind = FileKind { version: if is_known { version } else { FORMAT }, ..KIND };
        let Scan { payloads, torn_bytes, .. } = scan(&kind, bytes).map_err(damaged)?;
        let mut payloads = payloads.into_iter().enumerate();
        let (_, at) = payloads.next().ok_or_else(|| TapeError::Empty { path: path() })?;
        let undecodable = |number| TapeError::Frame { path: path(), number };
        let mut unpacker = Unpacker::new();
        let header = unpacker.unpack(&bytes[at], PAYLOAD_BYTES_MAX);
        let header = header.and_then(|json| serde_json::from_slice(json).ok());
        let header = header.ok_or_else(|| undecodable(0))?;
        let payloads: Vec<_> = payloads.collect();
        // Nearly all of the time goes into this.
        let decoded = in_parallel_with(&payloads, Unpacker::new, |unpacker, (number, at)| {
            let payload = unpacker.unpack(&bytes[at.clone()], PAYLOAD_BYTES_MAX);
            let frame = payload.and_then(|payload| match kind.version {
                v1::FORMAT => v1::decode(payload),
                v2::FORMAT => v2::decode(payload).map(Some),
                _ => v3::decode(payload).map(Some),
            });
            frame.ok_or_else(|| undecodable(*number))
        });
        let mut frames = decoded.into_iter().filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        if kind.version == v1::FORMAT {
            v1::number(&mut frames);
        }
        Ok(Self { header, frames, torn_bytes, format: kind.version })
    }

    /// The machine before the first step: a new one, or restored where the tape goes on from another one.
    pub fn machine(&self) -> Machine {
        let config = self.header.machine_config(0);
        match self.frames.first() {
            Some(Frame::State(state)) => restored(config, state).unwrap_or_else(|| self.header.machine()),
            _ => Machine::new(config),
        }
    }

    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.frames.iter().filter_map(|frame| match frame {
            Frame::Step(step) => Some(&**step),
            Frame::State(_) => None,
        })
    }

    /// Whether this text stands in the lines of a step.
    pub fn shows(&self, text: &str) -> bool {
        let shows = |step: &Step| {
            step.event.summary().contains(text) || step.actions.iter().any(|action| action.contains(text))
        };
        self.steps().any(shows)
    }

    /// The bytes of a tape of the present format.
    ///
    /// # Errors
    /// Where compression fails.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = v3::beginning(&self.header)?;
        for frame in &self.frames {
            bytes.extend(v3::encoded(frame)?);
        }
        Ok(bytes)
    }
}

/// A machine that goes on from a recorded state; none where this build does not understand it.
pub fn restored(config: MachineConfig, state: &Value) -> Option<Machine> {
    let snapshot: Snapshot = serde_json::from_value(state.clone()).ok()?;
    Some(Machine::restore(config, snapshot))
}
