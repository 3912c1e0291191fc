//! Adapters that only a validator needs: miners' buckets and a model on a thread.

mod buckets;
mod judge;

pub use buckets::{MinersBuckets, ReadFrom};
pub use judge::JudgeThread;
