//! A whole subnet: hundreds of hotkeys, honest at different speeds or cheating, and validators with the real rules for
//! selection, checks and scores over twelve windows.
//!
//! A rival's file is made when a validator looks at it. Rivals of one kind get equal verdicts, so in each window only a
//! few kinds are made and verified, and the others reuse their last verdict. No file is kept.

mod cheat;

use std::collections::BTreeMap;
use std::rc::Rc;

use grail_miner::ports::{BeaconRound, Head, Now};
use grail_protocol::PROTOCOL;
use grail_protocol::randomness::window_randomness;
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Keypair;
use grail_validator::answers::{Judged, Neuron, ObjectFacts, WeightsState};
use grail_validator::lockstep::{World, settle};
use grail_validator::{Action, Event, Report, Settings, Validator, target};
use grail_verify::{Recomputed, Scope, Verdict, WindowFacts, verify_bytes};
use sha2::{Digest, Sha256};

use crate::engine::Generator;
use crate::stream::Stream;

pub use cheat::{Bench, Cheat};

/// Hotkeys of a subnet.
pub const HOTKEYS_MAX: usize = 256;
/// A kind that was verified this many windows ago is verified again the next time.
const FRESH_WINDOWS: u64 = 6;

/// Behavior of a rival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conduct {
    /// Uploads this many groups of honest work each window.
    Honest(u32),
    /// Cheats.
    Cheats(Cheat),
    /// Uploads nothing.
    Absent,
}

/// One hotkey.
struct Rival {
    address: String,
    keypair: Keypair,
    conduct: Conduct,
}

/// Miners and validators of one subnet.
pub struct Subnet {
    validators: Vec<Validator>,
    surroundings: Surroundings,
}

/// Ports and observers of the validators.
struct Surroundings {
    seed: u64,
    rivals: Vec<Rival>,
    generator: Rc<dyn Generator>,
    recompute: Recomputed,
    /// The newest verdict on each kind, and the window that it was found in.
    verdicts: BTreeMap<Conduct, (u64, Option<Verdict>)>,
    window: SubnetWindow,
    head: u64,
}

/// The validators' verdicts on one window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubnetWindow {
    /// Each conduct that was checked, and its verdict.
    pub verdicts: BTreeMap<Conduct, Option<Verdict>>,
    /// By validator: the weight of each miner, in the order of uids.
    pub weights: Vec<Vec<f64>>,
}

impl Subnet {
    /// Miners of these conducts under uids from 0, and this many validators.
    pub fn new(seed: u64, conducts: &[Conduct], validators: usize, generator: Rc<dyn Generator>) -> Self {
        let key =
            |role: &str, number: usize| Keypair::from_seed(&Sha256::digest(format!("{seed}/{role}/{number}")).into());
        let rival = |(number, conduct): (usize, &Conduct)| {
            let keypair = key("rival", number);
            Rival { address: keypair.hotkey().to_ss58(), keypair, conduct: *conduct }
        };
        let validator = |number| {
            let mut validator =
                Validator::new(Settings::new(key("judge", number).hotkey().to_ss58(), generator.limits()));
            validator.handle(Now::default(), Event::Started(Vec::new()));
            validator
        };
        Self {
            validators: (0..validators).map(validator).collect(),
            surroundings: Surroundings {
                seed,
                rivals: conducts.iter().take(HOTKEYS_MAX).enumerate().map(rival).collect(),
                recompute: Recomputed::new(generator.clone()),
                generator,
                verdicts: BTreeMap::new(),
                window: SubnetWindow::default(),
                head: 0,
            },
        }
    }

    /// Conducts for this many hotkeys: every cheat in turn for a third of them, honest ones of all speeds, some absent.
    pub fn conducts(seed: u64, hotkeys: usize) -> Vec<Conduct> {
        let conduct = |number: usize| match number % 3 {
            0 => Conduct::Cheats(Cheat::ALL[number / 3 % Cheat::ALL.len()]),
            _ => {
                let mut stream = Stream::new(seed, "rivals/conduct", number);
                if stream.one_in(8) { Conduct::Absent } else { Conduct::Honest(stream.between(1, 8) as u32) }
            }
        };
        (0..hotkeys).map(conduct).collect()
    }

    /// Lets the validators judge a window that is over.
    pub fn judge(&mut self, window_start: u64) -> SubnetWindow {
        let Self { validators, surroundings } = self;
        surroundings.head = window_start + PROTOCOL.window_blocks;
        let now_ms = surroundings.head * PROTOCOL.block_ms;
        let now = Now { monotonic_ms: now_ms, wall_ms: now_ms };
        for validator in validators {
            settle(validator, now, Event::HeadMoved(Head { number: surroundings.head }), surroundings);
        }
        surroundings.recompute.forget();
        std::mem::take(&mut surroundings.window)
    }

    /// Returns records of windows that are remembered, over all validators.
    pub fn records(&self) -> usize {
        self.validators.iter().flat_map(|validator| validator.memory().history.values()).map(BTreeMap::len).sum()
    }
}

impl World for Surroundings {
    fn answer(&mut self, _: Now, action: Action) -> Option<Event> {
        Some(match action {
            Action::WatchHead { after } if after < self.head => Event::HeadMoved(Head { number: self.head }),
            Action::ReadMetagraph => {
                let committed = Some(format!("{:<32}{:<32}{:<64}", "account", "key", "secret").into_bytes());
                let neuron = |(uid, rival): (u16, &Rival)| {
                    let hotkey = rival.address.clone();
                    Neuron { uid, hotkey, committed: committed.clone() }
                };
                Event::MetagraphRead(Ok((0..).zip(&self.rivals).map(neuron).collect()))
            }
            Action::ReadBlockHash(block) => {
                let hash = (block <= self.head).then(|| self.hash(block));
                Event::BlockHashRead { block, result: Ok(hash) }
            }
            Action::FetchBeacon(round) => {
                let randomness = self.beacon();
                Event::BeaconAnswered { round, result: Ok(BeaconRound { round, randomness }) }
            }
            Action::Look { window_start, hotkey, .. } => {
                let is_there = self.rivals.iter().any(|r| r.address == hotkey && r.conduct != Conduct::Absent);
                Event::Looked { window_start, hotkey, result: Ok(is_there.then_some(OBJECT)) }
            }
            Action::Fetch { window_start, hotkey, .. } => {
                Event::Fetched { window_start, hotkey, result: Ok(Some(OBJECT)) }
            }
            Action::Judge(facts) => {
                let verdict = self.verdict(&facts);
                let judged = Judged { verdict, fingerprints: Vec::new() };
                Event::Judged { window_start: facts.window_start, hotkey: facts.hotkey, result: Ok(judged) }
            }
            Action::AppendJournal { entry, .. } => Event::JournalAnswered { entry, result: Ok(()) },
            // Nobody reads them here, so none are set.
            Action::ReadWeights => Event::WeightsRead(Ok(WeightsState::default())),
            Action::Report(Report::Window(report)) => {
                self.window.weights.push(report.weights.iter().map(|(_, _, weight)| *weight).collect());
                return None;
            }
            _ => return None,
        })
    }
}

/// A rival's file as a bucket shows it.
const OBJECT: ObjectFacts = ObjectFacts { bytes: 1, modified_ms: None };

impl Surroundings {
    fn hash(&self, block: u64) -> String {
        format!("0x{}", hex::encode(Sha256::digest(format!("{}/block/{block}", self.seed))))
    }

    fn beacon(&self) -> String {
        let window_start = target(self.head).unwrap_or(0);
        hex::encode(Sha256::digest(format!("{}/round/{window_start}", self.seed)))
    }

    fn verdict(&mut self, facts: &WindowFacts) -> Option<Verdict> {
        let index = self.rivals.iter().position(|rival| rival.address == facts.hotkey)?;
        let conduct = self.rivals[index].conduct;
        let verdict = self.verdict_on(index, facts);
        self.window.verdicts.insert(conduct, verdict.clone());
        verdict
    }

    fn verdict_on(&mut self, index: usize, facts: &WindowFacts) -> Option<Verdict> {
        let WindowFacts { window_start, block_hash, .. } = facts;
        let (window_start, beacon) = (*window_start, self.beacon());
        let Rival { keypair, conduct, .. } = &self.rivals[index];
        let oldest = window_start.saturating_sub(FRESH_WINDOWS * PROTOCOL.window_blocks);
        if let Some((found_in, verdict)) = self.verdicts.get(conduct).filter(|(found_in, _)| *found_in > oldest) {
            // The draw of groups differs by validator and window; the kind's newest verdict is used for all of them.
            debug_assert!(*found_in <= window_start);
            return verdict.clone();
        }
        let window = WindowContext {
            hotkey: keypair.hotkey(),
            window_start,
            block_hash: block_hash.clone(),
            randomness: window_randomness(block_hash, Some(&beacon)),
            use_drand: true,
        };
        let generator = &*self.generator;
        let bench = Bench { keypair, window: &window, generator, seed: self.seed ^ index as u64 };
        let file = match conduct {
            Conduct::Honest(groups) => bench.honest(*groups),
            Conduct::Cheats(cheat) => bench.cheat(*cheat),
            Conduct::Absent => return None,
        };
        let report = verify_bytes(&file, facts, generator.tokenizer(), &self.recompute, Scope::Validator);
        let verdict = report.ok().map(|report| report.verdict);
        self.verdicts.insert(*conduct, (window_start, verdict.clone()));
        verdict
    }
}
