//! Object storage in memory, with conditional writes and failures on either side of a write.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};

use crate::faults::{FaultKind, FaultPlan};
use crate::stream::Stream;
use crate::time::VirtualTime;

/// Throughput of the miner's uplink, in bytes per millisecond.
const BYTES_PER_MS: u64 = 5_000;

/// The bucket itself.
#[derive(Clone, Default)]
pub struct SimBucket(Rc<RefCell<BTreeMap<String, Object>>>);

#[derive(Clone)]
struct Object {
    bytes: Rc<Vec<u8>>,
    version: u64,
}

impl SimBucket {
    /// What lies under a key.
    pub fn object(&self, key: &str) -> Option<Rc<Vec<u8>>> {
        self.0.borrow().get(key).map(|object| object.bytes.clone())
    }

    /// Version of what lies under a key; each write gives a new one.
    pub fn version(&self, key: &str) -> Option<u64> {
        self.0.borrow().get(key).map(|object| object.version)
    }

    /// Remove what lies under a key, as a bucket's own rule on old objects does.
    pub fn remove(&self, key: &str) {
        self.0.borrow_mut().remove(key);
    }

    fn etag(&self, key: &str) -> Option<Etag> {
        self.version(key).map(|version| Etag(version.to_string()))
    }

    fn write(&self, key: &str, bytes: &[u8], condition: &PutCondition, version: u64) -> Result<Etag, BucketError> {
        let holds = match condition {
            PutCondition::Absent => self.etag(key).is_none(),
            PutCondition::Matches(etag) => self.etag(key).as_ref() == Some(etag),
        };
        if !holds {
            return Err(BucketError::ConditionFailed);
        }
        let object = Object { bytes: Rc::new(bytes.to_vec()), version };
        self.0.borrow_mut().insert(key.to_owned(), object);
        Ok(Etag(version.to_string()))
    }
}

/// One node's connection to the bucket.
pub struct BucketLink {
    bucket: SimBucket,
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
    calls: Cell<u64>,
}

impl BucketLink {
    /// A connection to this bucket.
    pub fn new(bucket: SimBucket, time: VirtualTime, faults: Rc<FaultPlan>, seed: u64) -> Self {
        Self { bucket, time, faults, seed, calls: Cell::new(0) }
    }

    /// Number of the call, after its latency.
    async fn call(&self, bytes: usize) -> u64 {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        let latency = Stream::new(self.seed, "bucket/latency", call).between(40, 250);
        self.time.sleep(latency + bytes as u64 / BYTES_PER_MS).await;
        call
    }

    fn failing(&self, kind: FaultKind) -> bool {
        self.faults.active(kind, self.time.now_ms()).is_some()
    }
}

#[async_trait(?Send)]
impl Bucket for BucketLink {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, _: u64) -> Result<Etag, BucketError> {
        let call = self.call(bytes.len()).await;
        if self.failing(FaultKind::UploadErrorBefore) {
            return Err(BucketError::Transient("503 Slow Down".to_owned()));
        }
        let written = self.bucket.write(key, bytes, condition, call)?;
        if self.failing(FaultKind::UploadErrorAfter) {
            return Err(BucketError::Unknown("the connection was reset".to_owned()));
        }
        Ok(written)
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        let bytes = self.bucket.object(key);
        self.call(bytes.map_or(0, |bytes| bytes.len())).await;
        Ok(self.bucket.object(key).zip(self.bucket.etag(key)).map(|(bytes, etag)| (bytes.to_vec(), etag)))
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.call(0).await;
        if self.failing(FaultKind::UploadErrorBefore) {
            return Err(BucketError::Transient("503 Slow Down".to_owned()));
        }
        self.bucket.0.borrow_mut().remove(key);
        Ok(())
    }
}
