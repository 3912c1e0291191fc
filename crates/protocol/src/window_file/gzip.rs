//! Gzip as CPython 3.11's `gzip.decompress` reads it, which is what a validator does to a window file.
//!
//! Other readers differ: here zeros after a member are skipped, anything else that starts no member is an error, and a
//! header's own checksum and its reserved flags are ignored.

use flate2::{Decompress, FlushDecompress, Status};

/// First bytes of every member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
/// Magic, method, flags, time, level and system.
const FIXED_HEADER_BYTES: usize = 10;
/// Checksum and length of the content.
const TRAILER_BYTES: usize = 8;
const FLAG_HEADER_CHECKSUM: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
/// Smallest buffer for the output.
const ROOM_BYTES_MIN: usize = 64 << 10;

/// Why Python does not read a gzip file; offsets count from the file's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// Something else is where a member should start.
    #[error("no gzip member starts at byte {offset}")]
    Magic {
        /// Position in bytes.
        offset: usize,
    },
    /// The member is compressed in another way.
    #[error("the gzip member at byte {offset} has compression method {method}, and only 8 is known")]
    Method {
        /// Start of the member in bytes.
        offset: usize,
        /// The method.
        method: u8,
    },
    /// The member is not complete.
    #[error("the gzip member at byte {offset} is incomplete")]
    Truncated {
        /// Where it starts.
        offset: usize,
    },
    /// The compressed data makes no sense.
    #[error("the compressed data of the gzip member at byte {offset} is damaged")]
    Deflate {
        /// Start of the member in bytes.
        offset: usize,
    },
    /// The content has another checksum.
    #[error("the checksum of the gzip member at byte {offset} does not match its content")]
    Checksum {
        /// Start of the member in bytes.
        offset: usize,
    },
    /// The content has another length.
    #[error("the length of the gzip member at byte {offset} does not match its content")]
    Length {
        /// Start of the member in bytes.
        offset: usize,
    },
    /// The members unpack to more than the limit, which is this reader's own.
    #[error("it unpacks to more than {} MiB", limit >> 20)]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Returns the content of all members, at most `limit` bytes.
///
/// # Errors
/// [`GzipError`]: what Python refuses, and more than the limit.
pub fn decompress(file: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let mut content = Vec::with_capacity(stated_bytes(file).min(limit));
    let mut inflate = Decompress::new(false);
    let mut rest = file;
    while !rest.is_empty() {
        let offset = file.len() - rest.len();
        let begin = content.len();
        inflate.reset(false);
        rest = inflated(&mut inflate, after_header(rest, offset)?, &mut content, limit, offset)?;
        let (trailer, after) = rest.split_at_checked(TRAILER_BYTES).ok_or(GzipError::Truncated { offset })?;
        let member = &content[begin..];
        if trailer[..4] != crc32fast::hash(member).to_le_bytes() {
            return Err(GzipError::Checksum { offset });
        }
        // The length modulo 2^32.
        if trailer[4..] != (member.len() as u32).to_le_bytes() {
            return Err(GzipError::Length { offset });
        }
        let zeros = after.iter().take_while(|byte| **byte == 0).count();
        rest = &after[zeros..];
    }
    Ok(content)
}

/// Returns the unpacked size that a file states at its end, if it is plausible.
fn stated_bytes(file: &[u8]) -> usize {
    let stated = file.last_chunk().map_or(0, |tail| u32::from_le_bytes(*tail)) as usize;
    stated.min(file.len().saturating_mul(16))
}

/// Returns the bytes after the header of the member that starts here.
fn after_header(member: &[u8], offset: usize) -> Result<&[u8], GzipError> {
    let truncated = GzipError::Truncated { offset };
    if !member.starts_with(&MAGIC) {
        return Err(GzipError::Magic { offset });
    }
    let (fixed, mut rest) = member.split_at_checked(FIXED_HEADER_BYTES).ok_or(truncated)?;
    let (method, flags) = (fixed[2], fixed[3]);
    if method != DEFLATE {
        return Err(GzipError::Method { offset, method });
    }
    if flags & FLAG_EXTRA != 0 {
        let (length, extra) = rest.split_first_chunk().ok_or(truncated)?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..).ok_or(truncated)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            // Python takes the file's end for the end of the text.
            let end = rest.iter().position(|byte| *byte == 0).map_or(rest.len(), |zero| zero + 1);
            rest = &rest[end..];
        }
    }
    if flags & FLAG_HEADER_CHECKSUM != 0 {
        rest = rest.get(2..).ok_or(truncated)?;
    }
    Ok(rest)
}

/// Inflates `data` into the output. Returns the bytes after it.
fn inflated<'a>(
    inflate: &mut Decompress,
    data: &'a [u8],
    content: &mut Vec<u8>,
    limit: usize,
    offset: usize,
) -> Result<&'a [u8], GzipError> {
    loop {
        // One byte more than the limit shows that it is exceeded.
        if content.len() == content.capacity() {
            let room = content.len().max(ROOM_BYTES_MIN).min(limit + 1 - content.len());
            content.reserve_exact(room);
        }
        let before = (inflate.total_in(), content.len());
        let rest = &data[before.0 as usize..];
        let status = inflate.decompress_vec(rest, content, FlushDecompress::None);
        let status = status.map_err(|_| GzipError::Deflate { offset })?;
        if content.len() > limit {
            return Err(GzipError::TooLarge { limit });
        }
        let after = (inflate.total_in(), content.len());
        if status == Status::StreamEnd {
            return Ok(&data[after.0 as usize..]);
        }
        if after == before && content.len() < content.capacity() {
            return Err(GzipError::Truncated { offset });
        }
    }
}
