//! Tapes: every event that the core received and every action that it asked for, recorded so that the same core can run
//! over them again, byte for byte.
//!
//! A tape records the machine's boundary, so a recorded live window replays without network, wallet or GPU. It holds no
//! secret: read credentials are replaced by a stand-in of the same length, and a live sampling seed is left out. This
//! crate may use files and one thread for writing. [`Recorder`] writes, [`Tape`] reads, [`replay`] compares, and
//! [`Session`] runs a core step by step.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod archive;
mod divergence;
mod fields;
mod format;
pub mod limits;
mod numerics;
mod parallel;
mod player;
mod reader;
mod recorder;
mod redaction;
mod role;
mod session;
mod windows;

pub use divergence::{Class, Divergence, Line, compared};
pub use fields::{FieldChange, between_actions, between_states};
pub use format::{FORMAT, Frame, Header, Step, state_of};
pub use numerics::{Numerics, NumericsError, Recomputation, recompute};
pub use parallel::in_parallel;
pub use player::{Mode, NoSuchWindow, Options, Replay, replay, replay_with, restated};
pub use reader::{AnyTape, Tape, TapeError};
pub use recorder::{Recorder, RecorderError, Rotation, TapeFolder};
pub use role::{Miner, Role, Validator};
pub use session::{Asked, Cause, Core, Moment, Session, as_built, begins_anew};
pub use windows::WindowSpan;
