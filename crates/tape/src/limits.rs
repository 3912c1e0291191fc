//! Limits on the memory for the tapes of one file, however small that file is.

use grail_protocol::budget::{Budget, OverBudget};

use super::format::Step;

/// Longest file that is read as a tape, or as a bundle of tapes.
pub const FILE_BYTES_MAX: usize = 512 << 20;
/// Most bytes that the frames of a file unpack to.
pub const UNPACKED_BYTES_MAX: usize = 1 << 30;
/// Most memory that the steps and states of a file take; 40 million numbers of states do.
pub const DECODED_BYTES_MAX: usize = 1280 << 20;
/// Longest header of a tape; ours have a kilobyte.
pub const HEADER_BYTES_MAX: usize = 1 << 20;
/// Longest step but that of a start, which holds a whole journal; a group of four rollouts has 150 KB.
pub const STEP_BYTES_MAX: usize = 16 << 20;
/// Longest text that a replay keeps to show; our own texts are shorter.
const SHOWN_BYTES: usize = 64 << 10;
/// A recorder continues with another tape from here on, so that a tape with the window in which it ends, and what a crash
/// gave back of another one, can be read.
pub(super) const RECORDED_BYTES_MAX: usize = 384 << 20;

/// Memory of a frame in addition to its content.
const FRAME_BYTES: usize = size_of::<Step>() + 128;

/// Returns the start of a text that may be of any length.
pub(super) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}

/// Remaining budget for all tapes of a file.
pub(super) struct Limits {
    pub(super) unpacked: Budget,
    pub(super) decoded: Budget,
}

impl Limits {
    pub(super) const fn new(unpacked: usize, decoded: usize) -> Self {
        Self { unpacked: Budget::new(unpacked), decoded: Budget::new(decoded) }
    }

    /// Room for this many frames.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub(super) fn frames(&self, count: usize) -> Result<(), OverBudget> {
        self.decoded.spend(count.saturating_mul(FRAME_BYTES))
    }

    /// Fails if decoding ever needed more than was left.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub(super) fn check(&self) -> Result<(), OverBudget> {
        self.unpacked.check().and_then(|()| self.decoded.check())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(UNPACKED_BYTES_MAX, DECODED_BYTES_MAX)
    }
}
