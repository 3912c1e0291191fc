//! Everything that touches the world, as object-safe traits whose documentation is the contract.
//!
//! Calls may take arbitrarily long: the driver bounds each one. A call whose future is dropped may or may not have
//! taken effect. Implementations do not retry on their own, for the machine decides; only a `put` may, within its time
//! limit.

mod beacon;
mod bucket;
mod chain;
mod clock;
mod engine;
mod journal;
mod signer;

pub use crate::answers::*;
pub use beacon::Beacon;
pub use bucket::Bucket;
pub use chain::Chain;
pub use clock::{Clock, within};
pub use engine::Engine;
pub use journal::Journal;
pub use signer::Signer;
