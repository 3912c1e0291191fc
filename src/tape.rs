//! Tapes: every event that the core was told and every action that it asked for, recorded so that the same core can be
//! run over it again, byte for byte.
//!
//! A tape is at the machine's boundary, so a recorded live window replays without network, wallet or GPU. It holds no
//! secret: read credentials are replaced by a stand-in of the same length, and the sampling seed is left out, for nothing
//! that the machine decides follows from it.

mod divergence;
mod format;
mod player;
mod reader;
mod recorder;
mod redaction;
pub mod timeline;
pub mod travel;

pub use divergence::{Class, Divergence, Line};
pub use format::{FORMAT, Frame, Header, RecordedConfig, Step};
pub use player::{Mode, Replay, replay};
pub use reader::{Tape, TapeError};
pub use recorder::{Recorder, RecorderError, TapeFolder};
