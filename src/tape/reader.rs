//! Reading a tape, whole or up to where a crash cut it.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::format::{Frame, Header, KIND, unpacked};
use crate::frames::{FrameDamage, PAYLOAD_BYTES_MAX, Scan, scan};

/// A tape in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tape {
    /// What it begins with.
    pub header: Header,
    /// What follows, in order.
    pub frames: Vec<Frame>,
    /// Bytes at the end that a crash left unfinished.
    pub torn_bytes: usize,
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
    /// Read the tape in this file.
    ///
    /// # Errors
    /// [`TapeError`]; a tape that ends in the middle of a frame is read up to that frame.
    pub fn read(path: &Path) -> Result<Self, TapeError> {
        let bytes = std::fs::read(path).map_err(|source| TapeError::Io { path: path.to_owned(), source })?;
        Self::parse(path, &bytes)
    }

    /// The tape that these bytes are; `path` is for errors.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TapeError> {
        let path = || path.to_owned();
        let damaged = |damage| TapeError::Damaged { path: path(), damage };
        let Scan { payloads, torn_bytes, .. } = scan(&KIND, bytes).map_err(damaged)?;
        let mut payloads = payloads.into_iter().enumerate();
        let (_, at) = payloads.next().ok_or_else(|| TapeError::Empty { path: path() })?;
        let undecodable = |number| TapeError::Frame { path: path(), number };
        let header = unpacked(&bytes[at], PAYLOAD_BYTES_MAX).and_then(|json| serde_json::from_slice(&json).ok());
        let header = header.ok_or_else(|| undecodable(0))?;
        let frames = payloads.map(|(number, at)| decoded(&bytes[at]).ok_or_else(|| undecodable(number)));
        Ok(Self { header, frames: frames.collect::<Result<_, _>>()?, torn_bytes })
    }
}

fn decoded<T: DeserializeOwned>(packed: &[u8]) -> Option<T> {
    postcard::from_bytes(&unpacked(packed, PAYLOAD_BYTES_MAX)?).ok()
}
