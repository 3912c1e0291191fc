//! Format 2, before 0.1.0 was released: as format 3, in CBOR.

use super::Frame;

pub(crate) const FORMAT: u32 = 2;

/// The frame of a payload; none where it holds something else.
pub(crate) fn decode(payload: &[u8]) -> Option<Frame> {
    ciborium::from_reader(payload).ok()
}
