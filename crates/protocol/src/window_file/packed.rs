//! A window file put together from groups that were compressed one by one.

use std::io::Write;
use std::sync::Arc;

use flate2::write::DeflateEncoder;

use super::{LEVEL, WindowFile};
use crate::rollout::Rollout;

/// The fixed beginning of a gzip file: no name, no time, compressed for speed, on no known system (RFC 1952, 2.3.1).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// A last block of deflate that holds nothing, with fixed codes (RFC 1951, 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A group's part of a window file, compressed by itself, so that a file that grows is not compressed from its beginning
/// each time.
#[derive(Debug, Clone)]
pub struct PackedGroup {
    part: Part,
    rollouts: usize,
}

impl PackedGroup {
    /// The group with this index in its file.
    pub fn new(index: u32, rollouts: &[Rollout]) -> Self {
        let mut json = serde_json::to_vec(rollouts).expect("rollouts are plain data");
        // The list's brackets are the file's; a comma stands between this group and the one before.
        json.pop();
        json[0] = b',';
        Self { part: Part::new(&json[usize::from(index == 0)..]), rollouts: rollouts.len() }
    }

    /// The bytes to upload: groups 0, 1, 2 … in order, under one gzip header.
    ///
    /// They unpack to the very JSON that [`WindowFile::pack`] compresses.
    pub fn join(groups: &[&Self], wallet: &str, window_start: u64, timestamp: f64) -> Vec<u8> {
        let inference_count = groups.iter().map(|group| group.rollouts).sum();
        let frame = WindowFile { inference_count, ..WindowFile::new(wallet, window_start, Vec::new(), timestamp) };
        let frame = serde_json::to_string(&frame).expect("a frame is plain data");
        let (before, after) = frame.rsplit_once("[]").expect("its list of rollouts is empty");
        let (before, after) = (Part::new(format!("{before}[").as_bytes()), Part::new(format!("]{after}").as_bytes()));
        let parts = || std::iter::once(&before).chain(groups.iter().map(|group| &group.part)).chain([&after]);

        let mut file = GZIP_HEADER.to_vec();
        file.reserve(parts().map(|part| part.deflated.len()).sum::<usize>() + 16);
        let mut checksum = crc32fast::Hasher::new();
        for part in parts() {
            file.extend_from_slice(&part.deflated);
            checksum.combine(&part.checksum);
        }
        let bytes: usize = parts().map(|part| part.bytes).sum();
        file.extend_from_slice(&LAST_BLOCK);
        file.extend_from_slice(&checksum.finalize().to_le_bytes());
        // The length modulo 2^32, as gzip wants it.
        file.extend_from_slice(&(bytes as u32).to_le_bytes());
        file
    }
}

/// A piece of a deflate stream that ends at a whole byte and refers to nothing before it.
#[derive(Debug, Clone)]
struct Part {
    deflated: Arc<[u8]>,
    checksum: crc32fast::Hasher,
    /// Length of what was compressed.
    bytes: usize,
}

impl Part {
    fn new(content: &[u8]) -> Self {
        let mut deflate = DeflateEncoder::new(Vec::with_capacity(content.len() / 2 + 64), LEVEL);
        deflate.write_all(content).and_then(|()| deflate.flush()).expect("a Vec takes every write");
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(content);
        Self { deflated: deflate.get_ref().as_slice().into(), checksum, bytes: content.len() }
    }
}
