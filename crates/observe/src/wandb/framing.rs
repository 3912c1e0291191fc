//! How records are in a `.wandb` file: the log format of LevelDB
//! (<https://github.com/google/leveldb/blob/main/doc/log_format.md>) with a header in front, and with the plain CRC-32 of
//! IEEE instead of a masked CRC-32C.

use std::io::{self, Write};

/// Records are in blocks of this size, and none of their parts crosses from one into the next.
const BLOCK: usize = 32 << 10;
/// Checksum, length and type of a part.
const PART_HEADER: usize = 7;
/// `:W&B`, a magic number (little-endian 0xBEE1) and the version.
const FILE_HEADER: [u8; 7] = *b":W&B\xe1\xbe\x00";
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Writes records.
pub(super) struct RecordWriter<W> {
    pub(super) inner: W,
    /// Position in the block.
    at: usize,
    /// Bytes so far.
    pub(super) written: u64,
}

impl<W: Write> RecordWriter<W> {
    /// Starts a file.
    pub(super) fn begin(mut inner: W) -> io::Result<Self> {
        inner.write_all(&FILE_HEADER)?;
        Ok(Self { inner, at: FILE_HEADER.len(), written: FILE_HEADER.len() as u64 })
    }

    /// Appends a record, in one write, so that a crash leaves at most the last record unfinished.
    pub(super) fn append(&mut self, mut record: &[u8]) -> io::Result<()> {
        let (mut bytes, mut at, mut is_first) = (Vec::with_capacity(record.len() + PART_HEADER), self.at, true);
        loop {
            if BLOCK - at < PART_HEADER {
                bytes.resize(bytes.len() + BLOCK - at, 0);
                at = 0;
            }
            let room = BLOCK - at - PART_HEADER;
            let (part, rest) = record.split_at(record.len().min(room));
            let kind = match (is_first, rest.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&[kind]);
            checksum.update(part);
            bytes.extend(checksum.finalize().to_le_bytes());
            let length = u16::try_from(part.len()).expect("a part fits into a block of 32 KiB");
            bytes.extend(length.to_le_bytes());
            bytes.push(kind);
            bytes.extend(part);
            at = (at + PART_HEADER + part.len()) % BLOCK;
            (record, is_first) = (rest, false);
            if rest.is_empty() {
                break;
            }
        }
        self.inner.write_all(&bytes)?;
        self.at = at;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the definition, bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc: u32, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    }

    /// Returns its own reader, by the description of the format.
    fn read(file: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(&file[..4], b":W&B");
        assert_eq!((u16::from_le_bytes([file[4], file[5]]), file[6]), (0xbee1, 0));
        let (mut at, mut records, mut open) = (7, Vec::new(), None::<Vec<u8>>);
        while at < file.len() {
            let left = BLOCK - at % BLOCK;
            if left < 7 {
                assert!(file[at..at + left].iter().all(|byte| *byte == 0), "padding at {at}");
                at += left;
                continue;
            }
            let length = usize::from(u16::from_le_bytes([file[at + 4], file[at + 5]]));
            assert!(7 + length <= left, "a part crosses a block at {at}");
            let checksum = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            assert_eq!(checksum, crc(&file[at + 6..at + 7 + length]), "checksum at {at}");
            let data = &file[at + 7..at + 7 + length];
            match file[at + 6] {
                FULL => records.push(data.to_vec()),
                FIRST => assert!(open.replace(data.to_vec()).is_none()),
                MIDDLE => open.as_mut().unwrap().extend(data),
                LAST => records.push([open.take().unwrap(), data.to_vec()].concat()),
                kind => panic!("type {kind} at {at}"),
            }
            at += 7 + length;
        }
        assert_eq!(open, None);
        records
    }

    #[test]
    fn records_of_every_length_around_a_block_are_read_again() {
        // The first record starts at 7; these end before, at and after the end of the block, for each short rest.
        for last in BLOCK - 40..BLOCK + 40 {
            let records = [vec![1; last], vec![2; 3], Vec::new(), vec![3; 3 * BLOCK + 5], vec![4; 100]];
            let mut file = Vec::new();
            let mut writer = RecordWriter::begin(&mut file).unwrap();
            records.iter().for_each(|record| writer.append(record).unwrap());
            let written = writer.written;
            assert_eq!(written, file.len() as u64);
            assert_eq!(read(&file), records, "{last}");
        }
    }
}
