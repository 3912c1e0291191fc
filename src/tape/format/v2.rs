//! Format 2: steps with numbers and whole states, as CBOR, which names every field.

use std::io;

use super::{Frame, Header, KIND, packed};
use crate::frames::frame;

pub(in crate::tape) const FORMAT: u32 = 2;

/// The frames of these numbered payloads, or the number of one that is none.
pub(in crate::tape) fn decode(payloads: Vec<(usize, Vec<u8>)>) -> Result<Vec<Frame>, usize> {
    let frame = |(number, payload): (usize, Vec<u8>)| ciborium::from_reader(payload.as_slice()).map_err(|_| number);
    payloads.into_iter().map(frame).collect()
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
