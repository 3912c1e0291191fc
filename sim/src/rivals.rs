//! A whole subnet: hundreds of hotkeys, honest at different speeds or cheating, and validators with the real rules for
//! which miners and groups are checked, and what that makes of twelve windows.
//!
//! A rival's file is made when a validator looks at it. Rivals of one kind fare alike, so each window a few kinds are
//! made and verified for real, and the others are taken as they were found last; nothing of a file is kept.

mod cheat;

use std::collections::BTreeMap;
use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_protocol::randomness::{challenge_randomness, window_randomness};
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Keypair;
use grail_verify::sampling::select_miners;
use grail_verify::score::{History, ROLLING_WINDOWS, WindowRecord, weights};
use grail_verify::{Recomputed, Scope, Verdict, WindowFacts, verify_bytes};
use sha2::{Digest, Sha256};

use crate::engine::Generator;
use crate::stream::Stream;

pub use cheat::{Bench, Cheat};

/// Hotkeys of a subnet.
pub const HOTKEYS_MAX: usize = 256;
/// A kind that was verified this many windows ago is verified again when it is next looked at.
const FRESH_WINDOWS: u64 = 6;

/// What a rival does.
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

/// One validator's memory.
#[derive(Default)]
struct Memory {
    address: String,
    history: History,
    /// How often each miner was checked.
    checked: BTreeMap<String, u32>,
}

/// Miners and validators of one subnet.
pub struct Subnet {
    seed: u64,
    rivals: Vec<Rival>,
    validators: Vec<Memory>,
    generator: Rc<dyn Generator>,
    recompute: Recomputed,
    /// The newest verdict on each kind, and the window that it was found in.
    verdicts: BTreeMap<Conduct, (u64, Option<Verdict>)>,
}

/// What the validators made of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct SubnetWindow {
    /// Files that were made and verified.
    pub verified: usize,
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
        let memory = |number| Memory { address: key("judge", number).hotkey().to_ss58(), ..Memory::default() };
        Self {
            seed,
            rivals: conducts.iter().take(HOTKEYS_MAX).enumerate().map(rival).collect(),
            validators: (0..validators).map(memory).collect(),
            recompute: Recomputed::new(generator.clone()),
            generator,
            verdicts: BTreeMap::new(),
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

    /// Let the validators judge a window that is over.
    pub fn judge(&mut self, window_start: u64) -> SubnetWindow {
        let block_hash = format!("0x{}", hex::encode(Sha256::digest(format!("{}/block/{window_start}", self.seed))));
        let beacon = hex::encode(Sha256::digest(format!("{}/round/{window_start}", self.seed)));
        let mut window = SubnetWindow { verified: 0, verdicts: BTreeMap::new(), weights: Vec::new() };
        for number in 0..self.validators.len() {
            for index in self.chosen(number, &block_hash) {
                let verdict = self.verdict(number, index, window_start, (&block_hash, &beacon), &mut window.verified);
                window.verdicts.insert(self.rivals[index].conduct, verdict.clone());
                self.remember(number, index, window_start, verdict.as_ref());
            }
            window.weights.push(self.weights(number, window_start));
        }
        self.recompute.forget();
        window
    }

    /// Returns records of windows that are remembered, over all validators.
    pub fn records(&self) -> usize {
        self.validators.iter().flat_map(|memory| memory.history.values()).map(BTreeMap::len).sum()
    }

    /// Uids of the miners that a validator looks at; absent ones are not active.
    fn chosen(&self, validator: usize, block_hash: &str) -> Vec<usize> {
        let checked = &self.validators[validator].checked;
        let active: Vec<(&str, u32)> = self
            .rivals
            .iter()
            .filter(|rival| rival.conduct != Conduct::Absent)
            .map(|rival| (rival.address.as_str(), checked.get(&rival.address).copied().unwrap_or(0)))
            .collect();
        let chosen = select_miners(&active, block_hash);
        (0..self.rivals.len()).filter(|index| chosen.contains(&self.rivals[*index].address.as_str())).collect()
    }

    fn verdict(
        &mut self,
        validator: usize,
        index: usize,
        window_start: u64,
        (block_hash, beacon): (&str, &str),
        verified: &mut usize,
    ) -> Option<Verdict> {
        let Rival { keypair, conduct, address } = &self.rivals[index];
        let oldest = window_start.saturating_sub(FRESH_WINDOWS * PROTOCOL.window_blocks);
        if let Some((found_in, verdict)) = self.verdicts.get(conduct).filter(|(found_in, _)| *found_in > oldest) {
            // The draw of groups differs by validator and window, which the kind's newest verdict stands for.
            debug_assert!(*found_in <= window_start);
            return verdict.clone();
        }
        *verified += 1;
        let window = WindowContext {
            hotkey: keypair.hotkey(),
            window_start,
            block_hash: block_hash.to_owned(),
            randomness: window_randomness(block_hash, Some(beacon)),
            use_drand: true,
        };
        let generator = &*self.generator;
        let bench = Bench { keypair, window: &window, generator, seed: self.seed ^ index as u64 };
        let file = match conduct {
            Conduct::Honest(groups) => bench.honest(*groups),
            Conduct::Cheats(cheat) => bench.cheat(*cheat),
            Conduct::Absent => return None,
        };
        let facts = WindowFacts {
            hotkey: address.clone(),
            validator_hotkey: self.validators[validator].address.clone(),
            window_start,
            challenge_randomness: challenge_randomness(block_hash, Some(beacon)),
            block_hash: block_hash.to_owned(),
            limits: generator.limits(),
        };
        let report = verify_bytes(&file, &facts, generator.tokenizer(), &self.recompute, Scope::Validator);
        let verdict = report.ok().map(|report| report.verdict);
        self.verdicts.insert(*conduct, (window_start, verdict.clone()));
        verdict
    }

    fn remember(&mut self, validator: usize, index: usize, window_start: u64, verdict: Option<&Verdict>) {
        let address = &self.rivals[index].address;
        let memory = &mut self.validators[validator];
        *memory.checked.entry(address.clone()).or_default() += 1;
        let record = match verdict {
            Some(Verdict::Accepted { metrics, .. }) => {
                Some(WindowRecord { unique: metrics.unique as u64, had_failure: false })
            }
            Some(Verdict::Rejected { .. }) => Some(WindowRecord { unique: 0, had_failure: true }),
            _ => None,
        };
        let windows = memory.history.entry(address.clone()).or_default();
        windows.extend(record.map(|record| (window_start, record)));
        // What is older than the windows that count can never matter again.
        *windows = windows.split_off(&window_start.saturating_sub(ROLLING_WINDOWS * PROTOCOL.window_blocks));
    }

    fn weights(&self, validator: usize, window_start: u64) -> Vec<f64> {
        let miners: Vec<(&str, u16)> = self.rivals.iter().map(|r| r.address.as_str()).zip(0..).collect();
        weights(&self.validators[validator].history, &miners, window_start)
    }
}
