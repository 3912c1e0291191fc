//! Content of every block: the events of its extrinsics, and the extrinsic with which its author sets the time.

/// System.ExtrinsicSuccess.
pub(super) fn success(index: u32) -> Vec<u8> {
    [&[0][..], &index.to_le_bytes(), &[0, 0], &[0; 4], &[0]].concat()
}

/// System.ExtrinsicFailed with an error of a pallet.
pub(super) fn failure(index: u32, (pallet, error): (u8, u8)) -> Vec<u8> {
    [&[0][..], &index.to_le_bytes(), &[0, 1], &[3, pallet, error, 0, 0, 0], &[0; 4], &[0]].concat()
}

/// Timestamp.set; its moment takes six bytes until the year 10889.
pub(super) fn set_time(unix_ms: u64) -> Vec<u8> {
    [&[0x28, 0x04, 0x02, 0x00, 0x0b][..], &unix_ms.to_le_bytes()[..6]].concat()
}
