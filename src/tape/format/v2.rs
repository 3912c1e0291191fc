//! Format 2: steps with numbers and whole states, as CBOR, which names every field.

use std::io;

use super::{Frame, Header, KIND, packed};
use crate::frames::frame;

pub(in crate::tape) const FORMAT: u32 = 2;

/// The frame of a payload; none where it holds something else.
pub(in crate::tape) fn decode(payload: &[u8]) -> Option<Frame> {
    ciborium::from_reader(payload).ok()
}

/// What a file begins with.
pub(in crate::tape) fn beginning(header: &Header) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(header)?;
    Ok([KIND.header().to_vec(), frame(&packed(&json)?)].concat())
}

/// A frame as it is written.
pub(in crate::tape) fn encoded(content: &Frame) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    ciborium::into_writer(content, &mut payload).map_err(io::Error::other)?;
    Ok(frame(&packed(&payload)?))
}
