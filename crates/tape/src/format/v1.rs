//! Format 1: steps with numbers and whole states, as MessagePack with the names of all fields.

use std::io;

use grail_folder::frames::frame;
use grail_protocol::budget::Budget;

use super::{Frame, Header, kind, packed};
use crate::role::Role;

pub(crate) const FORMAT: u32 = 1;
/// Deepest nesting that is read; a state has a dozen levels.
const DEPTH_MAX: usize = 128;

/// Returns the frame of a payload; none if it holds something else.
pub(crate) fn decode<R: Role>(payload: &[u8], budget: &Budget) -> Option<Frame<R>> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
    deserializer.set_max_depth(DEPTH_MAX);
    budget.decode(&mut deserializer).ok()
}

/// Returns a file's header.
pub(crate) fn beginning<R: Role>(header: &Header<R>) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(header)?;
    Ok([kind::<R>().header().to_vec(), frame(&packed(&json)?)].concat())
}

/// A frame as it is written.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Size of its content before compression.
    pub(crate) unpacked_bytes: usize,
}

pub(crate) fn encoded<R: Role>(content: &Frame<R>) -> io::Result<Encoded> {
    let payload = rmp_serde::to_vec_named(content).map_err(io::Error::other)?;
    Ok(Encoded { bytes: frame(&packed(&payload)?), unpacked_bytes: payload.len() })
}
