//! The validating core: one deterministic state machine decides which miners of a window to judge and which weights to set,
//! and a driver carries that out.
//!
//! This crate performs no I/O, reads no clock and draws no randomness. [`Validator::handle`] takes an [`Event`] and
//! returns [`Action`]s; [`driver`] connects it to the [`ports`], and [`lockstep`] to a world that answers at once, as
//! simulations and tests do. The journal holds the state that survives a crash, and [`Memory`] is that state.

pub mod answers;
mod candidate;
mod context;
mod copies;
pub mod driver;
mod event;
pub mod lockstep;
mod memory;
pub mod ports;
mod questions;
mod receipt;
mod settings;
mod submission;
mod validator;
mod window;

pub use copies::SharedRollouts;
pub use event::{Action, Event, Timer};
pub use memory::{JournalRecord, Memory, kept};
pub use receipt::{Judgment, MinerReceipt, Outcome, Report, WeightsReport, WindowReport};
pub use settings::{Settings, WEIGHTS_BLOCKS, target};
pub use validator::{State, Validator};
