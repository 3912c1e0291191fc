//! The file of a window: gzip over JSON, under a fixed object key.

mod packed;

use std::io::{Read, Write};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde::Serialize;

use crate::constants::PROTOCOL;
use crate::python_json::{self, JsonError, Value};
use crate::rollout::Rollout;

pub use self::packed::PackedGroup;

/// Most bytes of JSON that a window file may unpack to; beyond it a file is refused rather than read.
pub const UNPACKED_BYTES_MAX: u64 = 512 << 20;

/// About what a token with its sketch value and log probability takes, and the rest of a rollout; to allocate once.
const JSON_BYTES_PER_TOKEN: usize = 38;
const JSON_BYTES_PER_ROLLOUT: usize = 3_000;

const LEVEL: Compression = Compression::new(1);

/// A window's rollouts of one hotkey, as uploaded.
#[derive(Debug, Clone, Serialize)]
pub struct WindowFile<'a> {
    /// The hotkey's address.
    pub wallet: &'a str,
    /// First block of the window.
    pub window_start: u64,
    /// Length of a window in blocks.
    pub window_length: u64,
    /// Number of rollouts.
    pub inference_count: usize,
    /// The rollouts, groups 0, 1, 2 … in order.
    pub inferences: Vec<&'a Rollout>,
    /// Wall clock in seconds since 1970.
    pub timestamp: f64,
}

/// Why a window file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WindowFileError {
    /// The gzip stream is damaged or cut short.
    #[error("the gzip data is damaged or cut short ({0}); fetch or write the file again")]
    Gzip(#[source] std::io::Error),
    /// More than [`UNPACKED_BYTES_MAX`] bytes come out.
    #[error("the file unpacks to more than {} MiB; no honest window is that large", UNPACKED_BYTES_MAX >> 20)]
    TooLarge,
    /// The content is not JSON.
    #[error("{0}; a window file is one JSON object, gzipped or plain")]
    Json(#[from] JsonError),
}

impl<'a> WindowFile<'a> {
    /// The file of these rollouts.
    pub fn new(wallet: &'a str, window_start: u64, inferences: Vec<&'a Rollout>, timestamp: f64) -> Self {
        let inference_count = inferences.len();
        Self { wallet, window_start, window_length: PROTOCOL.window_blocks, inference_count, inferences, timestamp }
    }

    /// The bytes to upload: JSON under gzip level 1.
    pub fn pack(&self) -> Vec<u8> {
        // In one write: the encoder pays for each of serde's small ones with a sweep over its buffer.
        let tokens: usize = self.inferences.iter().map(|rollout| rollout.commit.tokens.len()).sum();
        let mut json =
            Vec::with_capacity(JSON_BYTES_PER_TOKEN * tokens + JSON_BYTES_PER_ROLLOUT * self.inferences.len());
        serde_json::to_writer(&mut json, self).expect("rollouts are plain data, and a Vec takes every write");
        let mut gzip = GzEncoder::new(Vec::with_capacity(json.len()), LEVEL);
        gzip.write_all(&json).and_then(|()| gzip.finish()).expect("a Vec takes every write")
    }
}

/// Where the file of a hotkey's window lies in its bucket.
pub fn object_key(hotkey: &str, window_start: u64) -> String {
    format!("grail/windows/{hotkey}-window-{window_start}.json.gz")
}

/// Read a window file, gzipped or plain.
///
/// # Errors
/// [`WindowFileError`] for damaged gzip, more than 512 MiB of content, and what is not JSON.
pub fn unpack(bytes: &[u8]) -> Result<Value, WindowFileError> {
    unpack_at_most(UNPACKED_BYTES_MAX, bytes)
}

fn unpack_at_most(limit: u64, bytes: &[u8]) -> Result<Value, WindowFileError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(python_json::parse(bytes)?);
    }
    let mut json = Vec::with_capacity(capacity(bytes).min(limit) as usize);
    let mut reader = MultiGzDecoder::new(bytes).take(limit + 1);
    reader.read_to_end(&mut json).map_err(WindowFileError::Gzip)?;
    if json.len() as u64 > limit {
        return Err(WindowFileError::TooLarge);
    }
    Ok(python_json::parse(&json)?)
}

/// How much a gzip stream says at its end that it unpacks to, as far as that can be believed of this many bytes.
fn capacity(gzip: &[u8]) -> u64 {
    let stated = gzip.last_chunk().map_or(0, |tail| u32::from_le_bytes(*tail));
    u64::from(stated).min(16 * gzip.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(9));
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn gzipped_and_plain_files_read_alike() {
        let plain = br#"{"wallet": "5", "inferences": []}"#;
        assert_eq!(unpack(plain).unwrap(), unpack(&gzip(plain)).unwrap());
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let content = unpack(&WindowFile::new("5", 300, Vec::new(), 1758700000.5).pack()).unwrap();
        let expected = r#"{"inference_count":0,"inferences":[],"timestamp":1758700000.5,"wallet":"5","window_length":30,"window_start":300}"#;
        assert_eq!(content.canonical_text(), expected);
    }

    #[test]
    fn unpacking_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 4 << 20]);
        assert!(bomb.len() < 8 << 10, "{} bytes", bomb.len());
        assert!(matches!(unpack_at_most(1 << 20, &bomb), Err(WindowFileError::TooLarge)));
        let many_members = bomb.repeat(4);
        assert!(matches!(unpack_at_most(8 << 20, &many_members), Err(WindowFileError::TooLarge)));
        assert!(matches!(unpack_at_most(16 << 20, &many_members), Err(WindowFileError::Json(_))));
    }

    #[test]
    fn the_object_key_names_hotkey_and_window() {
        assert_eq!(object_key("5abc", 300), "grail/windows/5abc-window-300.json.gz");
    }
}
