//! Object storage in memory, with conditional writes and failures on either side of a write.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};

use crate::faults::{FaultKind, FaultPlan};
use crate::stream::Stream;
use crate::time::VirtualTime;

/// Throughput of a link unless stated, in bytes per millisecond.
const BYTES_PER_MS: u64 = 5_000;

/// The bucket itself.
#[derive(Clone, Default)]
pub struct SimBucket(Rc<Contents>);

#[derive(Default)]
struct Contents {
    objects: RefCell<BTreeMap<String, Object>>,
    /// Key and content of each write, until somebody looks at them.
    writes: RefCell<Vec<(String, Rc<Vec<u8>>)>>,
}

#[derive(Clone)]
struct Object {
    bytes: Rc<Vec<u8>>,
    version: u64,
    written_ms: u64,
    /// The object that reads showed before.
    before: Option<(Rc<Vec<u8>>, u64)>,
}

impl SimBucket {
    /// Returns the object under a key.
    pub fn object(&self, key: &str) -> Option<Rc<Vec<u8>>> {
        self.0.objects.borrow().get(key).map(|object| object.bytes.clone())
    }

    /// Removes the object under a key, as a bucket's rule for old objects does.
    pub fn remove(&self, key: &str) {
        self.0.objects.borrow_mut().remove(key);
    }

    /// Puts an object under a key.
    pub fn place(&self, key: &str, bytes: &[u8], version: u64) {
        let object = Object { bytes: Rc::new(bytes.to_vec()), version, written_ms: 0, before: None };
        self.0.objects.borrow_mut().insert(key.to_owned(), object);
    }

    fn etag(&self, key: &str) -> Option<Etag> {
        self.0.objects.borrow().get(key).map(|object| Etag(object.version.to_string()))
    }

    /// Returns everything that was written since the last call, in order.
    pub fn take_writes(&self) -> Vec<(String, Rc<Vec<u8>>)> {
        self.0.writes.take()
    }

    /// Returns the object that reads show if they lag behind writes by this long.
    fn lagging(&self, key: &str, now_ms: u64, lag_ms: u64) -> Option<(Rc<Vec<u8>>, u64)> {
        let object = self.0.objects.borrow().get(key).cloned()?;
        if object.written_ms + lag_ms > now_ms { object.before } else { Some((object.bytes, object.version)) }
    }

    fn write(
        &self,
        key: &str,
        bytes: &[u8],
        condition: &PutCondition,
        (version, now_ms): (u64, u64),
    ) -> Result<Etag, BucketError> {
        let holds = match condition {
            PutCondition::Absent => self.etag(key).is_none(),
            PutCondition::Matches(etag) => self.etag(key).as_ref() == Some(etag),
        };
        if !holds {
            return Err(BucketError::ConditionFailed);
        }
        let before = self.0.objects.borrow().get(key).map(|object| (object.bytes.clone(), object.version));
        let bytes = Rc::new(bytes.to_vec());
        self.0.writes.borrow_mut().push((key.to_owned(), bytes.clone()));
        self.0.objects.borrow_mut().insert(key.to_owned(), Object { bytes, version, written_ms: now_ms, before });
        Ok(Etag(version.to_string()))
    }
}

/// One node's connection to the bucket.
pub struct BucketLink {
    bucket: SimBucket,
    /// Bucket at an address that accepts every write and that validators do not read.
    elsewhere: SimBucket,
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
    calls: Cell<u64>,
    bytes_per_ms: u64,
}

impl BucketLink {
    /// Creates a connection to this bucket.
    pub fn new(bucket: SimBucket, time: VirtualTime, faults: Rc<FaultPlan>, seed: u64) -> Self {
        Self {
            bucket,
            elsewhere: SimBucket::default(),
            time,
            faults,
            seed,
            calls: Cell::new(0),
            bytes_per_ms: BYTES_PER_MS,
        }
    }

    /// Returns a bucket that has had `calls` calls; the next version is above that number.
    pub fn after(self, calls: u64) -> Self {
        self.calls.set(calls);
        self
    }

    /// Returns the bucket with a link that carries this many bytes of an upload per millisecond.
    pub fn carrying(self, bytes_per_ms: u64) -> Self {
        Self { bytes_per_ms: bytes_per_ms.max(1), ..self }
    }

    /// Returns number of the call, after its latency.
    async fn call(&self, bytes: usize, bytes_per_ms: u64) -> u64 {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        let latency = Stream::new(self.seed, "bucket/latency", call).between(40, 250);
        let slow_ms = self.struck(FaultKind::SlowBucket).unwrap_or(0);
        self.time.sleep(latency + slow_ms + bytes as u64 / bytes_per_ms).await;
        call
    }

    fn struck(&self, kind: FaultKind) -> Option<u64> {
        self.faults.strikes(kind, self.time.now_ms()).map(|fault| fault.strength)
    }

    /// Fails with this error if a fault of this kind strikes.
    fn fail(&self, kind: FaultKind, error: fn(String) -> BucketError, why: &str) -> Result<(), BucketError> {
        self.struck(kind).map_or(Ok(()), |_| Err(error(why.to_owned())))
    }

    /// Why a request is refused before anything is done; `key` is the kind of fault of the key that it is signed with.
    fn refusal(&self, key: FaultKind) -> Result<(), BucketError> {
        let web_page = "HTTP status 403 without an S3 error, from a portal";
        self.fail(FaultKind::WebPage, BucketError::Transient, web_page)?;
        self.fail(FaultKind::BucketRateLimit, BucketError::Transient, "429 Too Many Requests")?;
        let skewed = "RequestTimeTooSkewed: the host's clock is wrong";
        self.fail(FaultKind::ClockSkewRefusal, BucketError::Refused, skewed)?;
        self.fail(key, BucketError::Refused, "ExpiredToken: the key is not valid any more")
    }
}

#[async_trait(?Send)]
impl Bucket for BucketLink {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, _: u64) -> Result<Etag, BucketError> {
        let call = self.call(bytes.len(), self.bytes_per_ms).await;
        self.refusal(FaultKind::ExpiredWriteKey)?;
        let unconditional = "the store has no conditional writes (NotImplemented)";
        self.fail(FaultKind::NoConditions, BucketError::Refused, unconditional)?;
        self.fail(FaultKind::UploadErrorBefore, BucketError::Transient, "503 Slow Down")?;
        self.fail(FaultKind::PartialUpload, BucketError::Unknown, "the connection broke after part 1 of 2")?;
        let is_elsewhere = self.struck(FaultKind::WrongAddress).is_some();
        let bucket = if is_elsewhere { &self.elsewhere } else { &self.bucket };
        let written = bucket.write(key, bytes, condition, (call, self.time.now_ms()))?;
        self.fail(FaultKind::UploadErrorAfter, BucketError::Unknown, "the connection was reset")?;
        Ok(written)
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        let size = self.bucket.object(key).map_or(0, |bytes| bytes.len());
        let call = self.call(size, BYTES_PER_MS).await;
        self.refusal(FaultKind::ExpiredReadKey)?;
        self.fail(FaultKind::ReadError, BucketError::Unknown, "the connection was reset")?;
        let lag_ms = self.struck(FaultKind::ReadLag).unwrap_or(0);
        let Some((bytes, version)) = self.bucket.lagging(key, self.time.now_ms(), lag_ms) else { return Ok(None) };
        let mut bytes = bytes.to_vec();
        if self.struck(FaultKind::ReadCorruption).is_some() {
            let at = Stream::new(self.seed, "bucket/corruption", call).below(bytes.len().max(1) as u64) as usize;
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x20);
        }
        Ok(Some((bytes, Etag(version.to_string()))))
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.call(0, BYTES_PER_MS).await;
        self.refusal(FaultKind::ExpiredWriteKey)?;
        self.fail(FaultKind::UploadErrorBefore, BucketError::Transient, "503 Slow Down")?;
        self.bucket.remove(key);
        Ok(())
    }
}
