//! Object storage, written with the write key and read back with the read key that validators use.

use async_trait::async_trait;

use crate::answers::{BucketError, Etag, PutCondition};

/// One bucket.
///
/// # Contract
/// A `put` that returned `Ok` can be read by `get` with the same bytes from then on. After [`BucketError::Unknown`] the
/// object may be the old or the new one. A `put` may try more than once, under the same condition, and must not start
/// anything once `limit_ms` have passed: the window is over then. `get` uses the read key; `None` is an object that is not there. `delete` of what
/// is not there succeeds.
#[async_trait(?Send)]
pub trait Bucket {
    /// Writes an object, within `limit_ms` milliseconds from now.
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError>;
    /// Reads an object with the read key: its bytes and version.
    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError>;
    /// Removes an object.
    async fn delete(&self, key: &str) -> Result<(), BucketError>;
}
