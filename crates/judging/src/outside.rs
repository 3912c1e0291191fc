//! The miners' buckets and the model, as one validator meets them.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_validator::answers::{JudgeError, Judged, ObjectFacts, StoreError};
use grail_validator::ports::{Recompute, Store};
use grail_verify::WindowFacts;

use crate::gate::Gate;
use crate::subnet::{Bucket, Neighbors, of_key};
use crate::verdicts::Verdicts;
use grail_protocol::PROTOCOL;
use grail_sim::chain::SimChain;
use grail_sim::faults::{FaultKind, FaultPlan};
use grail_sim::stream::Stream;
use grail_sim::time::VirtualTime;

/// Blocks during which some buckets do not answer after a window.
const AWAY_BLOCKS: u64 = 2;

/// How many calls of a kind run at this moment, and did at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Rc<Cell<(usize, usize)>>);

impl Gauge {
    fn enter(&self) -> Running {
        let (now, most) = self.0.get();
        self.0.set((now + 1, most.max(now + 1)));
        Running(self.clone())
    }

    pub(crate) fn most(&self) -> usize {
        self.0.get().1
    }
}

struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        let (now, most) = self.0.0.get();
        self.0.0.set((now - 1, most));
    }
}

/// Every bucket, and the model.
pub(crate) struct Outside {
    pub(crate) chain: SimChain,
    pub(crate) time: VirtualTime,
    pub(crate) faults: Rc<FaultPlan>,
    pub(crate) neighbors: Rc<Neighbors>,
    pub(crate) verdicts: Rc<Verdicts>,
    pub(crate) judge_ms: u64,
    pub(crate) seed: u64,
    pub(crate) gate: Gate,
    pub(crate) looks: Gauge,
    pub(crate) fetches: Gauge,
    pub(crate) calls: Cell<u64>,
}

impl Outside {
    fn strikes(&self, kind: FaultKind) -> Option<u64> {
        self.faults.strikes(kind, self.time.now_ms()).map(|fault| fault.strength)
    }

    /// Returns the object under a key, after the time that it takes, `slow_ms` in a slow bucket.
    async fn object(&self, key: &str, quick_ms: u64, slow_ms: u64) -> Result<Option<ObjectFacts>, StoreError> {
        let call = self.calls.replace(self.calls.get() + 1);
        let latency_ms = Stream::new(self.seed, "judging/latency", call).between(20, quick_ms);
        let (hotkey, window_start) = of_key(key).unwrap_or_default();
        let bucket = self.neighbors.get(hotkey).map_or(Bucket::Plain, |one| one.bucket);
        let slow_ms = if bucket == Bucket::Slow { slow_ms } else { self.strikes(FaultKind::SlowBucket).unwrap_or(0) };
        self.time.sleep(latency_ms + slow_ms).await;
        if self.strikes(FaultKind::BucketRateLimit).is_some() {
            return Err(StoreError::Transient("429".to_owned()));
        }
        if self.strikes(FaultKind::ReadError).is_some() {
            return Err(StoreError::Transient("the connection broke".to_owned()));
        }
        let away_until = window_start + PROTOCOL.window_blocks + AWAY_BLOCKS;
        if bucket == Bucket::AwayAtFirst && self.chain.head() < away_until {
            return Err(StoreError::Transient("503".to_owned()));
        }
        if bucket == Bucket::Forbidden {
            return Err(StoreError::Refused("403".to_owned()));
        }
        let is_there = self.neighbors.work(hotkey, window_start).is_some();
        Ok(is_there.then_some(ObjectFacts { bytes: key.len() as u64, modified_ms: None }))
    }

    fn bucket_of(&self, key: &str) -> Bucket {
        of_key(key).and_then(|(hotkey, _)| self.neighbors.get(hotkey)).map_or(Bucket::Plain, |one| one.bucket)
    }
}

#[async_trait(?Send)]
impl Store for Outside {
    async fn look(&self, _: &[u8], key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let _running = self.looks.enter();
        self.gate.call("store.look", StoreError::Transient)?;
        if self.bucket_of(key) == Bucket::SilentLook {
            return std::future::pending().await;
        }
        self.object(key, 300, 9_000).await
    }

    async fn fetch(&self, _: &[u8], key: &str) -> Result<Option<(ObjectFacts, Vec<u8>)>, StoreError> {
        let _running = self.fetches.enter();
        self.gate.call("store.fetch", StoreError::Transient)?;
        match self.bucket_of(key) {
            Bucket::SilentFetch => return std::future::pending().await,
            Bucket::Vanishing => return Ok(None),
            _ => {}
        }
        let object = self.object(key, 1_500, 40_000).await?;
        Ok(object.map(|facts| (facts, key.as_bytes().to_vec())))
    }
}

#[async_trait(?Send)]
impl Recompute for Outside {
    async fn judge(&self, file: Vec<u8>, facts: WindowFacts) -> Result<Judged, JudgeError> {
        self.gate.call("recompute.judge", JudgeError)?;
        if self.strikes(FaultKind::StalledEngine).is_some() {
            return std::future::pending().await;
        }
        self.time.sleep(self.judge_ms * self.faults.slowness(self.time.now_ms())).await;
        if self.strikes(FaultKind::EngineOutOfMemory).is_some() {
            return Err(JudgeError("out of memory".to_owned()));
        }
        let key = String::from_utf8_lossy(&file);
        let (hotkey, window_start) = of_key(&key).unwrap_or_default();
        assert_eq!((hotkey, window_start), (&*facts.hotkey, facts.window_start), "a file is judged as another miner's");
        let work = self.neighbors.work(hotkey, window_start);
        let verdict = work.and_then(|work| self.verdicts.of(work));
        Ok(Judged { verdict, fingerprints: Vec::new() })
    }
}
