//! Every call of a port in order, one of which fails: once, or the same kind of call from then on permanently.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::driver::Ports;
use grail_miner::ports::{
    Beacon, BeaconError, BeaconRound, Bucket, BucketError, Chain, ChainError, CommitError, Engine, EngineError, Etag,
    GenerateRequest, Head, PutCondition,
};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};

const WHY: &str = "made to fail";

/// The failing call, and for how long it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailAt {
    /// Its number over all ports, from 1.
    pub call: u64,
    /// Whether every later call of its kind fails, too.
    pub is_for_good: bool,
}

/// The calls that a miner makes of its ports; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Calls(Rc<RefCell<Made>>);

#[derive(Debug, Default)]
struct Made {
    fail_at: Option<FailAt>,
    kinds: Vec<&'static str>,
}

impl Calls {
    /// Creates calls that all succeed except these.
    pub fn failing(fail_at: FailAt) -> Self {
        Self(Rc::new(RefCell::new(Made { fail_at: Some(fail_at), kinds: Vec::new() })))
    }

    /// Returns the kind of each call so far, as `port.method`.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.0.borrow().kinds.clone()
    }

    /// Counts a call; whether it fails.
    pub fn fails(&self, kind: &'static str) -> bool {
        let mut made = self.0.borrow_mut();
        made.kinds.push(kind);
        let call = made.kinds.len() as u64;
        made.fail_at.is_some_and(|FailAt { call: first, is_for_good }| {
            call == first || is_for_good && call > first && made.kinds[first as usize - 1] == kind
        })
    }

    /// These ports, whose calls are counted. The journal counts its appends itself, as it audits them.
    pub(crate) fn counted(&self, ports: Ports) -> Ports {
        Ports {
            chain: Rc::new(Counted { port: ports.chain, calls: self.clone() }),
            beacon: Rc::new(Counted { port: ports.beacon, calls: self.clone() }),
            bucket: Rc::new(Counted { port: ports.bucket, calls: self.clone() }),
            engine: Rc::new(Counted { port: ports.engine, calls: self.clone() }),
            ..ports
        }
    }
}

/// A port whose calls are counted; one that fails has no effect.
pub(crate) struct Counted<P: ?Sized> {
    pub(crate) port: Rc<P>,
    pub(crate) calls: Calls,
}

impl<P: ?Sized> Counted<P> {
    fn call<E>(&self, kind: &'static str, error: impl FnOnce(String) -> E) -> Result<(), E> {
        if self.calls.fails(kind) { Err(error(WHY.to_owned())) } else { Ok(()) }
    }
}

#[async_trait(?Send)]
impl Chain for Counted<dyn Chain> {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        self.call("chain.next_head", ChainError::Unreachable)?;
        self.port.next_head(after).await
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        self.call("chain.block_hash", ChainError::Malformed)?;
        self.port.block_hash(block).await
    }

    async fn registration(&self) -> Result<Option<u16>, ChainError> {
        self.call("chain.registration", ChainError::Unreachable)?;
        self.port.registration().await
    }

    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
        self.call("chain.commitment", ChainError::Unreachable)?;
        self.port.commitment().await
    }

    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        self.call("chain.commit", CommitError::Unknown)?;
        self.port.commit(credentials).await
    }

    async fn reconnect(&self) {
        self.port.reconnect().await;
    }
}

#[async_trait(?Send)]
impl Beacon for Counted<dyn Beacon> {
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError> {
        self.call("beacon.round", BeaconError::Unreachable)?;
        self.port.round(round).await
    }
}

#[async_trait(?Send)]
impl Bucket for Counted<dyn Bucket> {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError> {
        self.call("bucket.put", BucketError::Unknown)?;
        self.port.put(key, bytes, condition, limit_ms).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        self.call("bucket.get", BucketError::Unknown)?;
        self.port.get(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.call("bucket.delete", BucketError::Unknown)?;
        self.port.delete(key).await
    }
}

#[async_trait(?Send)]
impl Engine for Counted<dyn Engine> {
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        self.call("engine.generate", EngineError)?;
        self.port.generate(request).await
    }

    fn groups_in_flight_max(&self) -> usize {
        self.port.groups_in_flight_max()
    }

    fn limits(&self) -> ModelLimits {
        self.port.limits()
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        self.port.tokenizer()
    }
}
