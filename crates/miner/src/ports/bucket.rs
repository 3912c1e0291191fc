//! Object storage, written with the write key and read back with the read key that validators use.

use async_trait::async_trait;

/// The version of an object, as the store names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(pub String);

/// Under which condition an object may be written, so that two writers cannot overwrite each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutCondition {
    /// Only if there is no such object.
    Absent,
    /// Only if the object is still of this version.
    Matches(Etag),
}

/// One bucket.
///
/// # Contract
/// A `put` that returned `Ok` can be read by `get` with the same bytes from then on. After [`BucketError::Unknown`] the
/// object may be the old or the new one. `get` uses the read key; `None` is an object that is not there. `delete` of what
/// is not there succeeds.
#[async_trait(?Send)]
pub trait Bucket {
    /// Write an object.
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition) -> Result<Etag, BucketError>;
    /// Read an object with the read key: its bytes and version.
    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError>;
    /// Remove an object.
    async fn delete(&self, key: &str) -> Result<(), BucketError>;
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// Nothing was written; worth another try.
    #[error("the bucket refused for now ({0}); trying again")]
    Transient(String),
    /// The connection broke or timed out: the write may have taken place.
    #[error("the upload's outcome is unknown ({0}); reading it back")]
    Unknown(String),
    /// The object is not the one that the condition names.
    #[error("the object was changed by another writer; run one miner per hotkey")]
    ConditionFailed,
    /// Trying again cannot help.
    #[error("the bucket refuses: {0}")]
    Refused(String),
}
