//! Format of records in an append-only file, in which a torn tail differs from damage.
//!
//! A file is a header (magic, format version, checksum) and frames: mark, length, checksum of the payload, checksum of
//! these three, payload. A frame is only ever started after the one before was synced. So a frame that another one
//! follows was complete once, and if it is broken, it is damaged. Only the last frame can be torn.

use std::ops::Range;

/// Length of a file's header in bytes.
pub const HEADER_BYTES: usize = 16;
/// Longest payload in bytes; a window of hundreds of groups appends a few hundred KiB at a time.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

const MARK: [u8; 4] = *b"\xf7Rec";
const HEAD_BYTES: usize = 16;

/// Kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKind {
    /// The first bytes.
    pub magic: [u8; 8],
    /// The version of the payloads that this build writes.
    pub version: u32,
}

/// Content of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Range of each payload.
    pub payloads: Vec<Range<usize>>,
    /// Bytes up to the end of the last whole frame.
    pub whole_bytes: usize,
    /// Bytes after that.
    pub torn_bytes: usize,
}

/// Why a file cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameDamage {
    /// The first bytes are those of something else.
    #[error("it does not start like such a file")]
    Magic,
    /// The header's checksum does not hold.
    #[error("its header is damaged")]
    Header,
    /// Written by another release.
    #[error("it has format {found}, and this release reads format {supported}")]
    Version {
        /// The file's version.
        found: u32,
        /// The supported version.
        supported: u32,
    },
    /// A frame was complete once and is damaged now.
    #[error("the record at byte {offset} is damaged, and intact ones follow it")]
    Record {
        /// Start of its frame.
        offset: usize,
    },
}

impl FileKind {
    /// Returns the first bytes of every file.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        header_of(&self.magic, self.version)
    }
}

/// Returns a payload as it is written.
///
/// # Panics
/// If the payload has 4 GiB or more; those above [`PAYLOAD_BYTES_MAX`] are never read back.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("payloads are below PAYLOAD_BYTES_MAX");
    let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len());
    frame.extend_from_slice(&MARK);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Returns the version in a file's header, if it starts as such a file does.
pub fn version(magic: &[u8; 8], bytes: &[u8]) -> Option<u32> {
    bytes.starts_with(magic).then(|| word(bytes, 8)).flatten()
}

/// Finds the whole frames of a file, and its torn tail if there is one.
///
/// # Errors
/// [`FrameDamage`] if something is broken that a crash cannot have broken.
pub fn scan(kind: &FileKind, bytes: &[u8]) -> Result<Scan, FrameDamage> {
    let mut scan = Scan { payloads: Vec::new(), whole_bytes: 0, torn_bytes: bytes.len() };
    // A crash while the file was created leaves nothing, or the beginning of a header.
    if kind.header().starts_with(bytes) && bytes.len() < HEADER_BYTES {
        return Ok(scan);
    }
    check_header(kind, bytes)?;
    let mut offset = HEADER_BYTES;
    while let Some(payload) = whole_frame(bytes, offset)? {
        offset = payload.end;
        scan.payloads.push(payload);
    }
    scan.whole_bytes = offset;
    scan.torn_bytes = bytes.len() - offset;
    Ok(scan)
}

fn header_of(magic: &[u8; 8], version: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(magic);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn check_header(kind: &FileKind, bytes: &[u8]) -> Result<(), FrameDamage> {
    let FileKind { magic, version } = *kind;
    if !bytes.starts_with(&magic) {
        return Err(FrameDamage::Magic);
    }
    let found = word(bytes, 8).ok_or(FrameDamage::Header)?;
    match found {
        // The checksum comes first: damage in the version must not be reported as the file of another build.
        _ if !bytes.starts_with(&header_of(&magic, found)) => Err(FrameDamage::Header),
        _ if found == version => Ok(()),
        _ => Err(FrameDamage::Version { found, supported: version }),
    }
}

/// Returns the payload of the frame at `offset`, or nothing if the file ends or is torn.
fn whole_frame(bytes: &[u8], offset: usize) -> Result<Option<Range<usize>>, FrameDamage> {
    let Some((length, checksum)) = head(&bytes[offset..]) else {
        // A later head shows that this frame was synced as a whole, so it is damaged and not torn.
        let follows = (offset + 1..bytes.len()).any(|at| head(&bytes[at..]).is_some());
        return if follows { Err(FrameDamage::Record { offset }) } else { Ok(None) };
    };
    let payload = offset + HEAD_BYTES..offset + HEAD_BYTES + length;
    match bytes.get(payload.clone()) {
        None => Ok(None),
        Some(content) if crc32fast::hash(content) == checksum => Ok(Some(payload)),
        // Something follows, so this payload was whole once. At the end of the file a crash can have torn it.
        Some(_) if payload.end < bytes.len() => Err(FrameDamage::Record { offset }),
        Some(_) => Ok(None),
    }
}

/// Returns the length and checksum of the payload, if `bytes` start with the head of a frame.
fn head(bytes: &[u8]) -> Option<(usize, u32)> {
    // The head has its own checksum, so that a damaged length never makes a reader reserve gigabytes.
    let mine = bytes.starts_with(&MARK) && crc32fast::hash(bytes.get(..12)?) == word(bytes, 12)?;
    let length = word(bytes, 4)? as usize;
    (mine && length <= PAYLOAD_BYTES_MAX).then_some((length, word(bytes, 8)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: FileKind = FileKind { magic: *b"TESTFILE", version: 1 };

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        payloads.iter().fold(KIND.header().to_vec(), |file, payload| [file, frame(payload)].concat())
    }

    fn contents(bytes: &[u8]) -> Result<Vec<&[u8]>, FrameDamage> {
        Ok(scan(&KIND, bytes)?.payloads.into_iter().map(|at| &bytes[at]).collect())
    }

    #[test]
    fn framed_records_are_found() {
        let payloads: [&[u8]; 3] = [b"one", b"", &[7; 1000]];
        assert_eq!(contents(&file(&payloads)), Ok(payloads.to_vec()));
        assert_eq!(scan(&KIND, &file(&payloads)).unwrap().torn_bytes, 0);
    }

    #[test]
    fn a_cut_at_any_byte_leaves_the_whole_frames() {
        let payloads: [&[u8]; 3] = [b"one", &[7; 300], b"three"];
        let bytes = file(&payloads);
        let ends: Vec<usize> = (0..=3).map(|count| file(&payloads[..count]).len()).collect();
        for length in 0..=bytes.len() {
            let cut = &bytes[..length];
            let whole = ends[1..].iter().filter(|end| **end <= length).count();
            assert_eq!(contents(cut), Ok(payloads[..whole].to_vec()), "cut at {length}");
            let start = if length < HEADER_BYTES { 0 } else { ends[whole] };
            assert_eq!(scan(&KIND, cut).unwrap().torn_bytes, length - start, "cut at {length}");
        }
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(scan(&KIND, &header_of(&KIND.magic, 2)), Err(FrameDamage::Version { found: 2, supported: 1 }));
        let mut damaged = KIND.header();
        damaged[12] ^= 1;
        assert_eq!(scan(&KIND, &damaged), Err(FrameDamage::Header));
        assert_eq!(scan(&KIND, &[0; 16]), Err(FrameDamage::Magic));
        assert_eq!(scan(&KIND, b"TESTX"), Err(FrameDamage::Magic));
    }

    #[test]
    fn the_version_is_read_only_from_a_file_of_this_kind() {
        assert_eq!(version(&KIND.magic, &header_of(&KIND.magic, 7)), Some(7));
        assert_eq!(version(&KIND.magic, &header_of(b"OTHERONE", 7)), None);
        assert_eq!(version(&KIND.magic, b"TESTFILE12"), None);
    }

    #[test]
    fn a_damaged_length_is_no_torn_end() {
        let one = file(&[b"one"]).len();
        let mut bytes = file(&[b"one", b"two", b"three"]);
        // 256 bytes more, which is beyond the end of the file.
        bytes[one + MARK.len() + 1] ^= 1;
        assert_eq!(scan(&KIND, &bytes), Err(FrameDamage::Record { offset: one }));
    }

    #[test]
    fn a_broken_payload_is_torn_at_the_end_of_the_file_and_damaged_before_it() {
        let one = file(&[b"one"]).len();
        let mut bytes = file(&[b"one", b"two", b"three"]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(contents(&bytes), Ok(vec![&b"one"[..], b"two"]));
        bytes[one + HEAD_BYTES] ^= 1;
        assert_eq!(scan(&KIND, &bytes), Err(FrameDamage::Record { offset: one }));
    }

    #[test]
    fn a_broken_frame_before_a_torn_one_is_damage() {
        let mut bytes = file(&[b"one", b"two"]);
        bytes.pop();
        bytes[HEADER_BYTES] ^= 1;
        assert_eq!(scan(&KIND, &bytes), Err(FrameDamage::Record { offset: HEADER_BYTES }));
    }

    #[test]
    fn a_head_that_starts_within_the_frame_before_proves_nothing() {
        let whole = file(&[&[&b"one"[..], &MARK[..1]].concat()]);
        let bytes = [&whole[..], &frame(b"two")[1..HEAD_BYTES]].concat();
        assert_eq!(scan(&KIND, &bytes).map(|scan| (scan.payloads.len(), scan.torn_bytes)), Ok((1, HEAD_BYTES - 1)));
    }

    #[test]
    fn a_length_that_no_file_has_is_no_reason_to_make_room() {
        for length in [PAYLOAD_BYTES_MAX as u32, PAYLOAD_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut head = [&MARK[..], &length.to_le_bytes(), &[0; 4]].concat();
            head.extend(crc32fast::hash(&head).to_le_bytes());
            let bytes = [file(&[b"one"]), head].concat();
            assert_eq!(scan(&KIND, &bytes).map(|scan| (scan.payloads.len(), scan.torn_bytes)), Ok((1, HEAD_BYTES)));
        }
    }

    #[test]
    fn a_tail_of_zeros_is_torn() {
        for zeros in [1, 12, 16, 17, 4096] {
            let bytes = [file(&[b"one"]), vec![0; zeros]].concat();
            assert_eq!(scan(&KIND, &bytes).map(|scan| (scan.payloads.len(), scan.torn_bytes)), Ok((1, zeros)));
        }
    }
}
