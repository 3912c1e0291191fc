//! Surrogates without a partner, which Python's strings hold and Rust's do not.
//!
//! Each is kept as one of the last 2,048 characters of private use. Those are refused if they are in a document
//! themselves, so that no two texts of Python's become one of ours.

const FIRST_SURROGATE: u32 = 0xd800;
const SURROGATES: u32 = 0x800;
const FIRST_STAND_IN: u32 = 0x11_0000 - SURROGATES;

/// Returns the character that represents this surrogate; none for any other code unit.
pub(super) fn stand_in(unit: u32) -> Option<char> {
    let at = unit.checked_sub(FIRST_SURROGATE).filter(|at| *at < SURROGATES)?;
    char::from_u32(FIRST_STAND_IN + at)
}

/// Returns the surrogate that this character represents.
pub(super) fn of(c: char) -> Option<u32> {
    Some((c as u32).checked_sub(FIRST_STAND_IN)? + FIRST_SURROGATE)
}

pub(super) fn is_stand_in(c: char) -> bool {
    of(c).is_some()
}
