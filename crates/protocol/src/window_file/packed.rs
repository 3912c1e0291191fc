//! A window file put together from groups that were compressed one by one.

use std::cell::RefCell;
use std::sync::Arc;

use flate2::{Compress, FlushCompress};

use super::{LEVEL, WindowFile};
use crate::rollout::Rollout;

/// The fixed beginning of a gzip file: no name, no time, compressed for speed, on no known system (RFC 1952, 2.3.1).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// A last block of deflate that holds nothing, with fixed codes (RFC 1951, 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A group's part of a window file, compressed by itself, so that a growing file is not compressed from its beginning
/// each time.
#[derive(Debug, Clone)]
pub struct PackedGroup {
    part: Part,
    rollouts: usize,
}

impl PackedGroup {
    /// Returns the part of these rollouts; they say which group they are.
    pub fn new(rollouts: &[Rollout]) -> Self {
        let is_first = rollouts.first().is_some_and(|rollout| rollout.rollout_group == 0);
        PACKER.with_borrow_mut(|packer| packer.group(is_first, rollouts))
    }

    /// Returns the bytes to upload: groups 0, 1, 2 … in order, under one gzip header.
    ///
    /// They unpack to the very JSON that [`WindowFile::pack`] compresses.
    pub fn join(groups: &[&Self], wallet: &str, window_start: u64, timestamp: f64) -> Vec<u8> {
        let inference_count = groups.iter().map(|group| group.rollouts).sum();
        let frame = WindowFile { inference_count, ..WindowFile::new(wallet, window_start, Vec::new(), timestamp) };
        let frame = serde_json::to_string(&frame).expect("a frame is plain data");
        let (before, after) = frame.rsplit_once("[]").expect("its list of rollouts is empty");
        let part = |text: String| PACKER.with_borrow_mut(|packer| packer.part(text.as_bytes()));
        let (before, after) = (part(format!("{before}[")), part(format!("]{after}")));
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

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::default();
}

/// Makes parts. It is kept from group to group: the pages of a compressor and of its buffers take longer than compressing.
struct Packer {
    deflate: Compress,
    json: Vec<u8>,
    deflated: Vec<u8>,
}

impl Packer {
    fn group(&mut self, is_first: bool, rollouts: &[Rollout]) -> PackedGroup {
        let mut json = std::mem::take(&mut self.json);
        json.clear();
        serde_json::to_writer(&mut json, rollouts).expect("rollouts are plain data, and a Vec takes every write");
        // The list's brackets are the file's; a comma is between this group and the one before.
        json.pop();
        json[0] = b',';
        let part = self.part(&json[usize::from(is_first)..]);
        self.json = json;
        PackedGroup { part, rollouts: rollouts.len() }
    }

    fn part(&mut self, content: &[u8]) -> Part {
        let Self { deflate, deflated, json: _ } = self;
        deflate.reset();
        deflated.clear();
        deflated.reserve(content.len() + 64);
        loop {
            let rest = &content[deflate.total_in() as usize..];
            deflate
                .compress_vec(rest, deflated, FlushCompress::Sync)
                .expect("a stream that was reset takes everything");
            // If there is space left, everything was read and flushed.
            if deflated.len() < deflated.capacity() {
                break;
            }
            deflated.reserve(content.len() + 64);
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(content);
        Part { deflated: deflated.as_slice().into(), checksum, bytes: content.len() }
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self { deflate: Compress::new(LEVEL, false), json: Vec::new(), deflated: Vec::new() }
    }
}
