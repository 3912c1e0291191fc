//! A record as bytes: postcard, in which a float is its eight bytes and so comes back bit for bit.

use grail_folder::frames::FileKind;
use grail_miner::ports::JournalRecord;
use grail_protocol::budget::Budget;

/// Beginning of a miner's journal. Its version changes with the order of variants and fields in [`JournalRecord`]:
/// postcard stores no names.
pub(super) const KIND: FileKind = FileKind { magic: *b"GRAILJNL", version: 1 };

/// Returns a record's bytes.
///
/// # Errors
/// [`postcard::Error`], which plain data does not give.
pub fn encode(record: &JournalRecord) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(record)
}

/// Decodes a record and takes its memory out of the budget.
///
/// # Errors
/// [`postcard::Error`] if they are none, or more than one, or take more than is left.
pub fn decode(bytes: &[u8], budget: &Budget) -> Result<JournalRecord, postcard::Error> {
    let mut deserializer = postcard::Deserializer::from_bytes(bytes);
    let record = budget.decode(&mut deserializer)?;
    if !deserializer.finalize()?.is_empty() {
        return Err(postcard::Error::DeserializeBadEncoding);
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use grail_protocol::rollout::{Rollout, WindowContext};
    use grail_protocol::signature::Hotkey;

    use super::*;

    /// Another order of variants or fields would be another format.
    #[test]
    fn the_bytes_of_every_record_are_those_of_the_format() {
        let context = WindowContext {
            hotkey: Hotkey::from_bytes([9; 32]),
            window_start: 30,
            block_hash: "0x".to_owned(),
            randomness: "c".to_owned(),
            use_drand: true,
        };
        let (window_start, digest, why) = (30, "d".to_owned(), "w".to_owned());
        for (record, bytes) in [
            (JournalRecord::Window(context), &[&[0][..], &[9; 32], b"\x1e\x020x\x01c\x01"].concat()[..]),
            (JournalRecord::Group { window_start, rollouts: Vec::<Rollout>::new().into() }, b"\x01\x1e\x00"),
            (JournalRecord::UploadStarted { window_start, digest: digest.clone(), groups: 7 }, b"\x02\x1e\x01d\x07"),
            (JournalRecord::UploadDone { window_start, digest: digest.clone() }, b"\x03\x1e\x01d"),
            (JournalRecord::UploadAbandoned { window_start, digest, why }, b"\x04\x1e\x01d\x01w"),
            (JournalRecord::WindowClosed { window_start }, b"\x05\x1e"),
        ] {
            assert_eq!(encode(&record).unwrap(), bytes, "{record:?}");
            assert_eq!(decode(bytes, &Budget::new(1 << 20)).unwrap(), record);
        }
    }
}
