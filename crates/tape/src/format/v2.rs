//! Format 2, before 0.1.0 was released: as format 3, in CBOR.

use grail_protocol::budget::Budget;

use super::Frame;

pub(crate) const FORMAT: u32 = 2;
/// The most memory that a byte of CBOR becomes: three make a map of one entry, which takes a node for eleven.
const BYTES_PER_BYTE: usize = 256;

/// The frame of a payload; none where it holds something else.
pub(crate) fn decode(payload: &[u8], budget: &Budget) -> Option<Frame> {
    // The library gives nothing between its bytes and a value, at which values could be counted.
    budget.spend(payload.len().saturating_mul(BYTES_PER_BYTE)).ok()?;
    ciborium::from_reader(payload).ok()
}
