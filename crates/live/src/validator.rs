//! Adapters that only a validator needs: miners' buckets, a model on a thread, and the publisher of what was accepted.

mod buckets;
mod judge;
mod publisher;

pub use buckets::{MinersBuckets, ReadFrom};
pub use judge::JudgeThread;
pub use publisher::{Collector, Published, Publisher, PublisherError};
