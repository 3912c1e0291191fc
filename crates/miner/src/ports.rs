//! Everything that touches the world, as object-safe traits whose documentation is the contract.
//!
//! Calls may take arbitrarily long: the driver bounds each one. A call whose future is dropped may or may not have taken
//! effect. Implementations never retry on their own; the machine decides.

mod beacon;
mod bucket;
mod chain;
mod clock;
mod engine;
mod journal;
mod signer;

pub use beacon::{Beacon, BeaconError, BeaconRound, BeaconSchedule};
pub use bucket::{Bucket, BucketError, Etag, PutCondition};
pub use chain::{Chain, ChainError, CommitError, Head};
pub use clock::{Clock, Now, within};
pub use engine::{Engine, EngineError, GroupRequest};
pub use journal::{Journal, JournalError, JournalRecord};
pub use signer::Signer;
