//! A validator of the simulated world: the validating core, whose questions the world answers at once.

use std::rc::Rc;

use grail_miner::ports::{BeaconRound, Head, Now};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::ProofModel;
use grail_validator::answers::{Neuron, ObjectFacts, WeightsState};
use grail_validator::lockstep::{World, settle};
use grail_validator::{Action, Event, Judgment, Report as CoreReport, Settings, Validator, WindowReport};
use grail_verify::{Judge, Report, Scope, Verdict, WindowFacts};

use crate::beacon::SimBeacon;
use crate::bucket::SimBucket;
use crate::chain::SimChain;
use crate::time::EPOCH_WALL_MS;

/// Uid of the subnet's owner.
const OWNER: (u16, &str) = (0, "owner");
/// The validator's own uid.
const UID: u16 = 2;

/// A validator in the simulated world.
pub struct SimValidator {
    core: Validator,
    world: Surroundings,
}

/// Ports and observers of the core.
struct Surroundings {
    chain: SimChain,
    bucket: SimBucket,
    beacon: Rc<SimBeacon>,
    judge: Judge,
    weights: WeightsState,
    /// The miner whose windows are judged.
    miner: String,
    /// Blocks from here on are not there yet.
    head: u64,
    file: Option<Rc<Vec<u8>>>,
    verdict: Option<Verdict>,
    report: Option<WindowReport>,
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
        let judge = Judge::new(hotkey.clone(), model);
        let mut core = Validator::new(Settings::new(hotkey, judge.limits()));
        core.handle(Now::default(), Event::Started(Vec::new()));
        let weights = WeightsState { uid: Some(UID), ..WeightsState::default() };
        let (miner, head, file, verdict, report) = (String::new(), 0, None, None, None);
        let world = Surroundings { chain, bucket, beacon, judge, weights, miner, head, file, verdict, report };
        Self { core, world }
    }

    /// Judges one miner's window that is over, at a virtual time.
    pub fn judge(&mut self, miner: &str, window_start: u64, now_ms: u64) -> Judgment {
        let Self { core, world } = self;
        miner.clone_into(&mut world.miner);
        world.head = reading_begins(window_start);
        (world.verdict, world.report) = (None, None);
        let now = Now { monotonic_ms: now_ms, wall_ms: EPOCH_WALL_MS + now_ms };
        settle(core, now, Event::HeadMoved(Head { number: world.head }), world);
        let weights = world.report.take().map(|report| report.weights).unwrap_or_default();
        let weight = weights.into_iter().find(|(_, hotkey, _)| hotkey == miner).map_or(0.0, |(_, _, weight)| weight);
        let facts = self.facts(miner, window_start, now_ms);
        Judgment { weight, ..Judgment::new(self.world.verdict.take(), facts) }
    }

    /// Returns the worth of every rollout of a file on the present chain; none if the file cannot be read.
    pub fn report_everything(&self, bytes: &[u8], miner: &str, window_start: u64, now_ms: u64) -> Option<Report> {
        self.world.judge.report(bytes, &self.facts(miner, window_start, now_ms), Scope::Everything)
    }

    fn facts(&self, miner: &str, window_start: u64, now_ms: u64) -> WindowFacts {
        let Surroundings { beacon, chain, judge, .. } = &self.world;
        let beacon = beacon.randomness(beacon.newest_round(now_ms));
        judge.facts(miner, window_start, chain.hash(window_start), &beacon)
    }
}

impl World for Surroundings {
    fn answer(&mut self, _: Now, action: Action) -> Option<Event> {
        Some(match action {
            Action::WatchHead { after } if after < self.head => Event::HeadMoved(Head { number: self.head }),
            Action::ReadMetagraph => {
                let neuron = |uid, hotkey: &str| Neuron {
                    uid,
                    hotkey: hotkey.to_owned(),
                    committed: self.chain.commitment_of(hotkey).map(|_| read_key()),
                };
                let mut neurons = vec![neuron(OWNER.0, OWNER.1)];
                // Validators find the bucket through the credentials on chain; without a uid there are none.
                neurons.extend(self.chain.uid(&self.miner).map(|uid| neuron(uid, &self.miner)));
                Event::MetagraphRead(Ok(neurons))
            }
            Action::ReadBlockHash(block) => {
                let hash = (block <= self.head).then(|| self.chain.hash(block));
                Event::BlockHashRead { block, result: Ok(hash) }
            }
            Action::FetchBeacon(round) => {
                let randomness = self.beacon.randomness(round);
                Event::BeaconAnswered { round, result: Ok(BeaconRound { round, randomness }) }
            }
            Action::Look { window_start, hotkey, key, .. } => {
                let object = self.bucket.object(&key).map(|bytes| object(&bytes));
                Event::Looked { window_start, hotkey, result: Ok(object) }
            }
            Action::Fetch { window_start, hotkey, key, .. } => {
                self.file = self.bucket.object(&key);
                let object = self.file.as_deref().map(|bytes| object(bytes));
                Event::Fetched { window_start, hotkey, result: Ok(object) }
            }
            Action::Judge(facts) => {
                let file = self.file.take().unwrap_or_default();
                let result = self.judge.judge(&file, &facts);
                self.verdict = result.as_ref().ok().and_then(|judged| judged.verdict.clone());
                Event::Judged { window_start: facts.window_start, hotkey: facts.hotkey, result }
            }
            Action::AppendJournal { entry, .. } => Event::JournalAnswered { entry, result: Ok(()) },
            Action::ReadWeights => Event::WeightsRead(Ok(self.weights.clone())),
            Action::SetWeights(weights) => {
                (self.weights.weights, self.weights.last_update) = (weights, self.head);
                Event::WeightsAnswered(Ok(()))
            }
            Action::Report(CoreReport::Window(report)) => {
                self.report = Some(*report);
                return None;
            }
            _ => return None,
        })
    }
}

/// Any committed read key works: there is one bucket, and a world that continues a tape has no keys.
fn read_key() -> Vec<u8> {
    format!("{:<32}{:<32}{:<64}", "account", "key", "secret").into_bytes()
}

fn object(bytes: &[u8]) -> ObjectFacts {
    ObjectFacts { bytes: bytes.len() as u64, modified_ms: None }
}

/// Returns the first block after a window, when validators start to read it.
pub const fn reading_begins(window_start: u64) -> u64 {
    window_start + PROTOCOL.window_blocks
}
