//! A validator by the reference's rules: after each window it fetches, recomputes, scores and sets weights.

use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_protocol::generation::ProofModel;
use grail_protocol::window_file::object_key;
use grail_verify::{Judge, Judgement, Report, Scope, WindowFacts};

use crate::beacon::SimBeacon;
use crate::bucket::SimBucket;
use crate::chain::SimChain;

/// A validator in the simulated world.
pub struct SimValidator {
    chain: SimChain,
    bucket: SimBucket,
    beacon: Rc<SimBeacon>,
    judge: Judge,
}

impl SimValidator {
    /// Creates a validator of this address.
    pub fn new(
        hotkey: String,
        chain: SimChain,
        bucket: SimBucket,
        beacon: Rc<SimBeacon>,
        model: Rc<dyn ProofModel>,
    ) -> Self {
        Self { chain, bucket, beacon, judge: Judge::new(hotkey, model) }
    }

    /// Judges one miner's window that is over, at a virtual time.
    pub fn judge(&mut self, miner: &str, uid: u16, window_start: u64, now_ms: u64) -> Judgement {
        // Validators find the bucket through the credentials on chain; without them there is no file.
        let committed = self.chain.commitment_of(miner).is_some() && self.chain.uid(miner).is_some();
        let file = self.bucket.object(&object_key(miner, window_start)).filter(|_| committed);
        let facts = self.facts(miner, window_start, now_ms);
        self.judge.judge(uid, file.as_ref().map(|bytes| bytes.as_slice()), facts)
    }

    /// Returns what every rollout of a file is worth on the chain as it is now; none where the file cannot be read.
    pub fn report_everything(&self, bytes: &[u8], miner: &str, window_start: u64, now_ms: u64) -> Option<Report> {
        self.judge.report(bytes, &self.facts(miner, window_start, now_ms), Scope::Everything)
    }

    fn facts(&self, miner: &str, window_start: u64, now_ms: u64) -> WindowFacts {
        let beacon = self.beacon.randomness(self.beacon.newest_round(now_ms));
        self.judge.facts(miner, window_start, self.chain.hash(window_start), &beacon)
    }
}

/// The first block after a window, when validators start to read it.
pub const fn reading_begins(window_start: u64) -> u64 {
    window_start + PROTOCOL.window_blocks
}
