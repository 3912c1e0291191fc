//! The validator of the served chain: the validating core over ports of its own, which share nothing with the miner's
//! adapters. It reads the committed key from the chain, fetches files with it through the bucket's socket, and sets weights.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use grail_http::{Connector, http_client};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::ProofModel;
use grail_protocol::read_credentials::ReadCredentials;
use grail_validator::driver::{Limits, Ports, Reports, run};
use grail_validator::ports::{
    Beacon, BeaconError, BeaconRound, Chain, ChainError, Clock, Head, Journal, JournalError, JudgeError, Judged,
    Neuron, Now, ObjectFacts, Recompute, Store, StoreError, SubmitError, WeightsState,
};
use grail_validator::{JournalRecord, Judgment, MinerReceipt, Outcome, Report, Settings, Validator, WeightsReport};
use grail_verify::{Judge, Verdict, WindowFacts};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, RetryConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::chain::signed_weights;
use super::unix_ms;
use super::world::World;

/// Blocks after which weights that are not set count as lost.
const WEIGHTS_BLOCKS: u64 = 4;

/// The validator's verdict on a window of our miner, and the weight that it set.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowVerdict {
    /// The judgment by the rules.
    pub judgment: Judgment,
    /// Why there was no file, if there was none.
    pub unread: Option<String>,
    /// Whether the chain took the weights that follow.
    pub weights_set: bool,
}

impl WindowVerdict {
    /// Returns whether nothing was wrong with the window.
    pub fn is_accepted(&self) -> bool {
        matches!(self.judgment.verdict, Some(Verdict::Accepted { .. }))
    }

    /// Returns one line for people.
    pub fn line(&self) -> String {
        let Judgment { window_start, weight, .. } = self.judgment;
        let (checked, accepted, metrics) = self.counts();
        let outcome = self.judgment.outcome();
        let what = match (&self.judgment.verdict, &self.unread) {
            (Some(Verdict::Rejected { failure, .. }), _) => format!("{outcome} ({} {})", failure.check, failure.reason),
            (None, Some(why)) => format!("{outcome} ({why})"),
            _ => outcome.to_owned(),
        };
        let set = if self.weights_set { "set" } else { "not set" };
        format!(
            "window {window_start}: {what}; {accepted}/{checked} checked rollouts valid, {} solved, {} distinct; \
             weight {weight:.4} {set}",
            metrics.successful, metrics.unique,
        )
    }

    /// Returns one object for programs.
    pub fn json(&self) -> Value {
        let Judgment { window_start, weight, rollouts, .. } = self.judgment;
        let (checked, accepted, metrics) = self.counts();
        let failure = match &self.judgment.verdict {
            Some(Verdict::Rejected { failure, .. }) => {
                json!({ "check": failure.check.name(), "reason": failure.reason.name(), "rollout": failure.rollout })
            }
            _ => Value::Null,
        };
        json!({
            "window_start": window_start, "verdict": self.judgment.outcome(), "failure": failure,
            "unread": self.unread, "rollouts": rollouts, "rollouts_checked": checked, "rollouts_accepted": accepted,
            "rollouts_successful": metrics.successful, "unique": metrics.unique, "weight": weight,
            "weights_set": self.weights_set,
        })
    }

    fn counts(&self) -> (usize, usize, grail_verify::Metrics) {
        let metrics = self.judgment.verdict.as_ref().map(Verdict::metrics).unwrap_or_default();
        match &self.judgment.verdict {
            Some(Verdict::Accepted { .. }) => (metrics.checked, metrics.valid, metrics),
            Some(Verdict::Rejected { checked, .. }) => (*checked, 0, metrics),
            _ => (0, 0, metrics),
        }
    }
}

/// Judges every window of our miner that started after its commitment, until `over`.
pub(super) async fn validate(
    world: Arc<World>,
    model: Rc<dyn ProofModel>,
    mut over: watch::Receiver<bool>,
    report: impl FnMut(WindowVerdict),
) {
    let hotkey = world.validator.hotkey().to_ss58();
    let judge = Judge::new(hotkey.clone(), model);
    let settings = Settings {
        beacon: world.beacon.network.schedule,
        block_ms: world.block_ms,
        // A world lives for a few windows, so each of them shows on the chain.
        weights_blocks: PROTOCOL.window_blocks,
        ..Settings::new(hotkey, judge.limits())
    };
    let validator = Rc::new(ServedValidator {
        limits: Limits::for_block_ms(world.block_ms),
        world,
        judge,
        began: Instant::now(),
        found: RefCell::default(),
        first_commit: Cell::default(),
    });
    let ports = Ports {
        clock: validator.clone(),
        chain: validator.clone(),
        beacon: validator.clone(),
        store: validator.clone(),
        recompute: validator.clone(),
        journal: validator.clone(),
    };
    let stop = Box::pin(async move { drop(over.wait_for(|over| *over).await) });
    let mut teller = Teller { validator: validator.clone(), receipt: None, waiting: None, report };
    let mut on_report = Reports(|report: &Report| teller.hear(report));
    run(Validator::new(settings), ports, validator.limits, &mut on_report, stop).await;
}

/// Every port over the world.
struct ServedValidator {
    world: Arc<World>,
    judge: Judge,
    limits: Limits,
    began: Instant,
    /// The verdict on our miner's newest file.
    found: RefCell<Option<(WindowFacts, Option<Verdict>)>>,
    /// The block of our miner's first commitment.
    first_commit: Cell<Option<u64>>,
}

/// Makes verdicts on our miner's windows of the core's reports.
struct Teller<T> {
    validator: Rc<ServedValidator>,
    receipt: Option<MinerReceipt>,
    /// A verdict that waits for the weights after it.
    waiting: Option<WindowVerdict>,
    report: T,
}

impl<T: FnMut(WindowVerdict)> Teller<T> {
    fn hear(&mut self, report: &Report) {
        let miner = self.validator.world.miner.to_ss58();
        match report {
            Report::Miner(receipt) if receipt.hotkey == miner => self.receipt = Some((**receipt).clone()),
            Report::Miner(_) | Report::Trouble(_) => {}
            Report::Window(window) => {
                self.tell(false);
                let weight = window.weights.iter().find(|(_, hotkey, _)| *hotkey == miner).map_or(0.0, |w| w.2);
                self.waiting = self.validator.verdict(window.window_start, self.receipt.take(), weight);
            }
            Report::Weights(WeightsReport::Set { .. }) => self.tell(true),
            Report::Weights(WeightsReport::NotSet { .. }) => self.tell(false),
        }
    }

    fn tell(&mut self, weights_set: bool) {
        if let Some(verdict) = self.waiting.take() {
            (self.report)(WindowVerdict { weights_set, ..verdict });
        }
    }
}

impl ServedValidator {
    /// Returns the verdict to report on a window; none for one that started before our miner had committed anything.
    fn verdict(&self, window_start: u64, receipt: Option<MinerReceipt>, weight: f64) -> Option<WindowVerdict> {
        self.first_commit.get().filter(|block| *block < window_start)?;
        let found = self.found.take().filter(|(facts, _)| facts.window_start == window_start);
        let (facts, verdict) = match found {
            Some(found) => found,
            None => {
                let network = &self.world.beacon.network;
                let beacon = network.randomness(network.newest_round());
                let block_hash = self.world.chain.state().hash(window_start).unwrap_or_default();
                (self.judge.facts(&self.world.miner.to_ss58(), window_start, block_hash, &beacon), None)
            }
        };
        let unread = match receipt {
            None => Some("the miner is not registered".to_owned()),
            Some(receipt) if verdict.is_none() => Some(match (receipt.outcome, receipt.why) {
                (Outcome::Missing, None) => "no file in the bucket".to_owned(),
                (outcome, why) => why.unwrap_or_else(|| outcome.name().to_owned()),
            }),
            Some(_) => None,
        };
        Some(WindowVerdict {
            judgment: Judgment { weight, ..Judgment::new(verdict, facts) },
            unread,
            weights_set: false,
        })
    }

    /// Returns the bucket that these credentials open, with nothing but them.
    fn bucket(&self, committed: &[u8]) -> Result<AmazonS3, StoreError> {
        let refused = |why: &str| StoreError::Refused(why.to_owned());
        let credentials = ReadCredentials::parse(committed).ok_or_else(|| refused("no read key"))?;
        let client =
            http_client(self.limits.fetch_ms, self.limits.fetch_ms).map_err(|error| refused(&error.to_string()))?;
        let builder = AmazonS3Builder::new()
            .with_endpoint(self.world.bucket_url())
            .with_bucket_name(credentials.account_id)
            .with_region("us-east-1")
            .with_access_key_id(credentials.access_key_id)
            .with_secret_access_key(credentials.secret_access_key)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector(client));
        builder.build().map_err(|error| refused(&error.to_string()))
    }
}

#[async_trait(?Send)]
impl Clock for ServedValidator {
    fn now(&self) -> Now {
        Now { monotonic_ms: self.began.elapsed().as_millis() as u64, wall_ms: unix_ms() }
    }

    async fn sleep_until(&self, monotonic_ms: u64) {
        let at = self.began + Duration::from_millis(monotonic_ms);
        tokio::time::sleep_until(at.into()).await;
    }
}

#[async_trait(?Send)]
impl Chain for ServedValidator {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        let mut changes = self.world.chain.changes();
        let moved = changes.wait_for(|_| self.world.chain.state().head() > after).await;
        moved.map_err(|_| ChainError::Unreachable("the world has ended".to_owned()))?;
        let state = self.world.chain.state();
        let commitment = state.commitment(PROTOCOL.netuid, self.world.miner).map(|commitment| commitment.block);
        self.first_commit.set(self.first_commit.get().or(commitment));
        Ok(Head { number: state.head() })
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        Ok(self.world.chain.state().hash(block))
    }

    async fn metagraph(&self) -> Result<Vec<Neuron>, ChainError> {
        let state = self.world.chain.state();
        let neuron = |uid| {
            let hotkey = state.hotkey(PROTOCOL.netuid, uid)?;
            let committed = state.commitment(PROTOCOL.netuid, hotkey).map(|commitment| commitment.bytes);
            Some(Neuron { uid, hotkey: hotkey.to_ss58(), committed })
        };
        Ok((0..state.neurons(PROTOCOL.netuid)).filter_map(neuron).collect())
    }

    async fn weights(&self) -> Result<WeightsState, ChainError> {
        let (state, hotkey) = (self.world.chain.state(), self.world.validator.hotkey());
        let uid = state.uid(PROTOCOL.netuid, hotkey);
        Ok(WeightsState {
            uid,
            last_update: uid.map_or(0, |uid| state.last_update(PROTOCOL.netuid, uid)),
            rate_limit: 0,
            commit_reveal: false,
            weights: uid.and_then(|uid| state.weights(PROTOCOL.netuid, uid)).unwrap_or_default(),
        })
    }

    async fn set_weights(&self, weights: &[(u16, u16)]) -> Result<(), SubmitError> {
        let (world, keypair) = (&self.world, &self.world.validator);
        let before = {
            let mut state = world.chain.state();
            let head = state.head();
            let (nonce, spec) = (state.nonce(keypair.hotkey().bytes()), state.runtime.spec_version());
            let extrinsic = signed_weights(keypair, nonce, (spec, &state.genesis()), PROTOCOL.netuid, weights);
            state.submit(&extrinsic).map_err(|refusal| SubmitError::Refused(refusal.0.to_owned()))?;
            head
        };
        let mut changes = world.chain.changes();
        let executed = changes.wait_for(|_| world.chain.state().head() > before);
        let limit = Duration::from_millis(WEIGHTS_BLOCKS * world.block_ms);
        let is_in_time = tokio::time::timeout(limit, executed).await.is_ok();
        is_in_time.then_some(()).ok_or_else(|| SubmitError::Unknown("no block came".to_owned()))
    }

    async fn reconnect(&self) {}
}

#[async_trait(?Send)]
impl Beacon for ServedValidator {
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError> {
        Ok(BeaconRound { round, randomness: self.world.beacon.network.randomness(round) })
    }
}

#[async_trait(?Send)]
impl Store for ServedValidator {
    async fn look(&self, committed: &[u8], key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        there(self.bucket(committed)?.head(&Path::from(key)).await.map(|meta| object(&meta)))
    }

    async fn fetch(&self, committed: &[u8], key: &str) -> Result<Option<(ObjectFacts, Vec<u8>)>, StoreError> {
        let bucket = self.bucket(committed)?;
        let read = async {
            let found = bucket.get(&Path::from(key)).await?;
            let facts = object(&found.meta);
            Ok((facts, found.bytes().await?.to_vec()))
        };
        there(read.await)
    }
}

#[async_trait(?Send)]
impl Recompute for ServedValidator {
    async fn judge(&self, file: Vec<u8>, facts: WindowFacts) -> Result<Judged, JudgeError> {
        let judged = self.judge.judge(&file, &facts)?;
        if facts.hotkey == self.world.miner.to_ss58() {
            *self.found.borrow_mut() = Some((facts, judged.verdict.clone()));
        }
        Ok(judged)
    }
}

/// A stopped world never continues, so nothing needs to survive.
#[async_trait(?Send)]
impl Journal for ServedValidator {
    async fn append(&self, _: &JournalRecord) -> Result<(), JournalError> {
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        Ok(Vec::new())
    }
}

fn object(meta: &ObjectMeta) -> ObjectFacts {
    ObjectFacts { bytes: meta.size, modified_ms: u64::try_from(meta.last_modified.timestamp_millis()).ok() }
}

/// Returns the store's answer; none if there is no such object.
fn there<T>(answer: object_store::Result<T>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(StoreError::Transient(error.to_string())),
    }
}
