//! The validator of the served chain: after each window it reads the committed key from the chain, fetches the file with
//! it, judges by the real rules, and sets weights.

use std::rc::Rc;
use std::time::Duration;

use grail_engine::CpuEngine;
use grail_http::{Connector, http_client};
use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use grail_protocol::window_file::object_key;
use grail_verify::{Judge, Judgement, Verdict};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStoreExt, RetryConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::chain::{Commitment, signed_weights};
use super::world::World;

/// A validator tries to read a file for this many blocks.
const READING_BLOCKS: u64 = 10;
/// After this many blocks, weights that are not set will not be.
const WEIGHTS_BLOCKS: u64 = 4;

/// What the validator found in a window of our miner, and what it did about it.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowVerdict {
    /// The judgement by the rules.
    pub judgement: Judgement,
    /// Why there was no file, where there was none.
    pub unread: Option<String>,
    /// Whether the chain took the weights that follow.
    pub weights_set: bool,
}

impl WindowVerdict {
    /// Returns whether nothing was wrong with the window.
    pub fn is_accepted(&self) -> bool {
        matches!(self.judgement.verdict, Some(Verdict::Accepted { .. }))
    }

    /// Returns one line for people.
    pub fn line(&self) -> String {
        let Judgement { window_start, weight, .. } = self.judgement;
        let (checked, accepted, metrics) = self.counts();
        let outcome = self.judgement.outcome();
        let what = match (&self.judgement.verdict, &self.unread) {
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
        let Judgement { window_start, weight, rollouts, .. } = self.judgement;
        let (checked, accepted, metrics) = self.counts();
        let failure = match &self.judgement.verdict {
            Some(Verdict::Rejected { failure, .. }) => {
                json!({ "check": failure.check.name(), "reason": failure.reason.name(), "rollout": failure.rollout })
            }
            _ => Value::Null,
        };
        json!({
            "window_start": window_start, "verdict": self.judgement.outcome(), "failure": failure,
            "unread": self.unread, "rollouts": rollouts, "rollouts_checked": checked, "rollouts_accepted": accepted,
            "rollouts_successful": metrics.successful, "unique": metrics.unique, "weight": weight,
            "weights_set": self.weights_set,
        })
    }

    fn counts(&self) -> (usize, usize, grail_verify::Metrics) {
        let metrics = self.judgement.verdict.as_ref().map(Verdict::metrics).unwrap_or_default();
        match &self.judgement.verdict {
            Some(Verdict::Accepted { .. }) => (metrics.checked, metrics.valid, metrics),
            Some(Verdict::Rejected { checked, .. }) => (*checked, 0, metrics),
            _ => (0, 0, metrics),
        }
    }
}

/// Judges every window of our miner that started after its commitment, until `over` or forever.
pub(super) async fn validate(
    world: &World,
    engine: CpuEngine,
    mut over: watch::Receiver<bool>,
    mut on_verdict: impl FnMut(WindowVerdict),
) {
    let mut validator = Validator {
        judge: Judge::new(world.validator().hotkey().to_ss58(), Rc::new(engine)),
        world,
        first_commit: None,
    };
    let mut changes = world.chain.changes();
    let mut next_window = window_start(world.chain.state().head());
    loop {
        tokio::select! {
            _ = over.wait_for(|over| *over) => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let (head, commitment) = validator.look();
        if validator.first_commit.is_none() {
            validator.first_commit = commitment.map(|commitment| commitment.block);
        }
        while next_window + PROTOCOL.window_blocks <= head {
            if validator.first_commit.is_some_and(|block| block < next_window) {
                on_verdict(validator.window(next_window).await);
            }
            if *over.borrow() {
                return;
            }
            next_window += PROTOCOL.window_blocks;
        }
    }
}

struct Validator<'a> {
    world: &'a World,
    judge: Judge,
    /// The block of our miner's first commitment.
    first_commit: Option<u64>,
}

impl Validator<'_> {
    /// Returns the head, and what our miner has committed.
    fn look(&self) -> (u64, Option<Commitment>) {
        let state = self.world.chain.state();
        (state.head(), state.commitment(PROTOCOL.netuid, self.world.miner()))
    }

    async fn window(&mut self, window: u64) -> WindowVerdict {
        let (file, unread) = match self.file(window).await {
            Ok(file) => (Some(file), None),
            Err(why) => (None, Some(why.to_string())),
        };
        let network = self.world.beacon.network();
        let beacon = network.randomness(network.newest_round());
        let block_hash = self.world.chain.state().hash(window).unwrap_or_default();
        let miner = self.world.miner().to_ss58();
        let facts = self.judge.facts(&miner, window, block_hash, &beacon);
        let judgement = self.judge.judge(self.world.miner_uid(), file.as_deref(), facts);
        let weights_set = self.set_weights(judgement.weight).await;
        WindowVerdict { judgement, unread, weights_set }
    }

    /// Returns the window's file, read with what is on the chain.
    async fn file(&self, window: u64) -> Result<Vec<u8>, Unread> {
        let world = self.world;
        world.chain.state().uid(PROTOCOL.netuid, world.miner()).ok_or(Unread::NotRegistered)?;
        let commitment = self.look().1.ok_or(Unread::NotCommitted)?;
        let bucket = self.bucket(&commitment.bytes).ok_or(Unread::Credentials)?;
        let key = Path::from(object_key(&world.miner().to_ss58(), window));
        let mut last = Unread::Missing;
        let began = std::time::Instant::now();
        // A file that comes into being after the window's end would not count, so only trouble is retried.
        while began.elapsed() < Duration::from_millis(READING_BLOCKS * world.block_ms()) {
            match read(&bucket, &key).await {
                Ok(file) => return Ok(file),
                Err(object_store::Error::NotFound { .. }) => return Err(Unread::Missing),
                Err(error) => last = Unread::Bucket(error.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(world.block_ms())).await;
        }
        Err(last)
    }

    /// Returns the bucket that these credentials open, with nothing but them.
    fn bucket(&self, credentials: &[u8]) -> Option<AmazonS3> {
        let text = std::str::from_utf8(credentials).ok()?;
        let field = |from, until| text.get(from..until).map(|field: &str| field.trim_end().to_owned());
        let (account, id, secret) = (field(0, 32)?, field(32, 64)?, field(64, 128)?);
        let request_ms = (READING_BLOCKS * self.world.block_ms()).max(1_000);
        let client = http_client(request_ms, request_ms).ok()?;
        let builder = AmazonS3Builder::new()
            .with_endpoint(self.world.bucket_url())
            .with_bucket_name(account)
            .with_region("us-east-1")
            .with_access_key_id(id)
            .with_secret_access_key(secret)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector(client));
        builder.build().ok()
    }

    /// Sets the miner's weight, and returns the rest to the owner; whether the chain took it.
    async fn set_weights(&self, weight: f64) -> bool {
        let world = self.world;
        let share = (weight.clamp(0.0, 1.0) * f64::from(u16::MAX)).round() as u16;
        let weights = [(0, u16::MAX - share), (world.miner_uid(), share)];
        let keypair = world.validator();
        let before = {
            let mut state = world.chain.state();
            let head = state.head();
            let (nonce, spec) = (state.nonce(keypair.hotkey().bytes()), state.runtime.spec_version());
            let extrinsic = signed_weights(keypair, nonce, (spec, &state.genesis()), PROTOCOL.netuid, &weights);
            if state.submit(&extrinsic).is_err() {
                return false;
            }
            head
        };
        let mut changes = world.chain.changes();
        let executed = changes.wait_for(|_| world.chain.state().head() > before);
        let limit = Duration::from_millis(WEIGHTS_BLOCKS * world.block_ms());
        let is_in_time = tokio::time::timeout(limit, executed).await.is_ok();
        is_in_time
            && world.chain.state().weights(PROTOCOL.netuid, world.validator_uid()).as_deref() == Some(&weights[..])
    }
}

async fn read(bucket: &AmazonS3, key: &Path) -> object_store::Result<Vec<u8>> {
    Ok(bucket.get(key).await?.bytes().await?.to_vec())
}

/// Why a validator has no file to judge.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("the miner is not registered")]
    NotRegistered,
    #[error("the miner has committed nothing")]
    NotCommitted,
    #[error("the miner's commitment is not a bucket's read key")]
    Credentials,
    #[error("no file in the bucket")]
    Missing,
    #[error("{0}")]
    Bucket(String),
}
