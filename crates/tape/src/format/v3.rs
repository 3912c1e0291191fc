//! Format 3: steps with numbers and whole states, as MessagePack, which names every field and reads in a third of the
//! time that CBOR took.

use std::io;

use grail_miner::frames::frame;

use super::{Frame, Header, KIND, packed};

pub(crate) const FORMAT: u32 = 3;

/// The frame of a payload; none where it holds something else.
pub(crate) fn decode(payload: &[u8]) -> Option<Frame> {
    rmp_serde::from_slice(payload).ok()
}

/// What a file begins with.
pub(crate) fn beginning(header: &Header) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(header)?;
    Ok([KIND.header().to_vec(), frame(&packed(&json)?)].concat())
}

/// A frame as it is written.
pub(crate) fn encoded(content: &Frame) -> io::Result<Vec<u8>> {
    let payload = rmp_serde::to_vec_named(content).map_err(io::Error::other)?;
    Ok(frame(&packed(&payload)?))
}
