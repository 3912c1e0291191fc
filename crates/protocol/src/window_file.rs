//! The file of a window: gzip over JSON, under a fixed object key.

pub mod gzip;
mod packed;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;

use crate::constants::PROTOCOL;
use crate::python_json::{self, JsonError, Value};
use crate::rollout::Rollout;

use self::gzip::GzipError;
pub use self::packed::PackedGroup;

/// Most bytes of JSON that a window file may unpack to, all its members together; beyond it a file is refused rather than
/// read. [`python_json::VALUE_BYTES_MAX`] limits what the JSON's values take.
pub const UNPACKED_BYTES_MAX: usize = 512 << 20;

/// Approximate sizes of a token with its sketch value and log probability, and of the rest of a rollout, to allocate
/// once.
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
    /// Python does not read the gzip data.
    #[error("{0}; fetch or write the file again")]
    Gzip(#[source] GzipError),
    /// It unpacks to more than [`UNPACKED_BYTES_MAX`] bytes.
    #[error("{0}; no honest window is that large")]
    TooLarge(#[source] GzipError),
    /// The content is not JSON, or its values take more than [`python_json::VALUE_BYTES_MAX`].
    #[error("{0}; a window file is one JSON object, gzipped or plain")]
    Json(#[from] JsonError),
}

impl<'a> WindowFile<'a> {
    /// Returns the file of these rollouts.
    pub fn new(wallet: &'a str, window_start: u64, inferences: Vec<&'a Rollout>, timestamp: f64) -> Self {
        let inference_count = inferences.len();
        Self { wallet, window_start, window_length: PROTOCOL.window_blocks, inference_count, inferences, timestamp }
    }

    /// Returns the bytes to upload: JSON under gzip level 1.
    pub fn pack(&self) -> Vec<u8> {
        // In one write, because each small write of serde costs the encoder a pass over its buffer.
        let tokens: usize = self.inferences.iter().map(|rollout| rollout.commit.tokens.len()).sum();
        let mut json =
            Vec::with_capacity(JSON_BYTES_PER_TOKEN * tokens + JSON_BYTES_PER_ROLLOUT * self.inferences.len());
        serde_json::to_writer(&mut json, self).expect("rollouts are plain data, and a Vec takes every write");
        let mut gzip = GzEncoder::new(Vec::with_capacity(json.len()), LEVEL);
        gzip.write_all(&json).and_then(|()| gzip.finish()).expect("a Vec takes every write")
    }
}

/// Returns where the file of a hotkey's window is in its bucket.
pub fn object_key(hotkey: &str, window_start: u64) -> String {
    format!("grail/windows/{hotkey}-window-{window_start}.json.gz")
}

/// Returns where a validator publishes the rollouts of a window that it found valid.
pub fn published_key(window_start: u64) -> String {
    format!("grail/valid_rollouts/{window_start}.json.gz")
}

/// Returns what a validator publishes: the valid rollouts of all accepted miners, each as JSON, under gzip level 1.
///
/// `timestamp` is in seconds since 1970.
pub fn pack_published(window_start: u64, rollouts: &[String], timestamp: f64) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), LEVEL);
    let count = rollouts.len();
    let mut write = |text: &str| gzip.write_all(text.as_bytes()).expect("a Vec takes every write");
    write(&format!("{{\"window\":{window_start},\"count\":{count},\"rollouts\":["));
    for (number, rollout) in rollouts.iter().enumerate() {
        write(if number == 0 { "" } else { "," });
        write(rollout);
    }
    write(&format!("],\"timestamp\":{timestamp:?}}}"));
    gzip.finish().expect("a Vec takes every write")
}

/// Reads a window file of any name, gzipped or plain.
///
/// # Errors
/// [`WindowFileError`] for gzip data that Python refuses, more than 512 MiB of content, and what is not JSON.
pub fn unpack(bytes: &[u8]) -> Result<Value, WindowFileError> {
    match bytes.starts_with(&gzip::MAGIC) {
        true => unpack_object(bytes),
        false => Ok(python_json::parse(bytes)?),
    }
}

/// Reads the object of an [`object_key`], as a validator does: gzip only.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_object(bytes: &[u8]) -> Result<Value, WindowFileError> {
    unpack_at_most(UNPACKED_BYTES_MAX, bytes)
}

fn unpack_at_most(limit: usize, bytes: &[u8]) -> Result<Value, WindowFileError> {
    let json = gzip::decompress(bytes, limit).map_err(|error| match error {
        GzipError::TooLarge { .. } => WindowFileError::TooLarge(error),
        error => WindowFileError::Gzip(error),
    })?;
    Ok(python_json::parse(&json)?)
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
        assert!(matches!(unpack_object(plain), Err(WindowFileError::Gzip(GzipError::Magic { offset: 0 }))));
    }

    #[test]
    fn packed_files_are_read_back() {
        let content = unpack(&WindowFile::new("5", 300, Vec::new(), 1758700000.5).pack()).unwrap();
        let expected = r#"{"inference_count":0,"inferences":[],"timestamp":1758700000.5,"wallet":"5","window_length":30,"window_start":300}"#;
        assert_eq!(content.canonical_text(), expected);
    }

    #[test]
    fn unpacking_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 4 << 20]);
        assert!(bomb.len() < 8 << 10, "{} bytes", bomb.len());
        assert!(matches!(unpack_at_most(1 << 20, &bomb), Err(WindowFileError::TooLarge(_))));
        let many_members = bomb.repeat(4);
        assert!(matches!(unpack_at_most(8 << 20, &many_members), Err(WindowFileError::TooLarge(_))));
        assert!(matches!(unpack_at_most(16 << 20, &many_members), Err(WindowFileError::Json(_))));
    }

    #[test]
    fn the_object_key_names_hotkey_and_window() {
        assert_eq!(object_key("5abc", 300), "grail/windows/5abc-window-300.json.gz");
    }
}
