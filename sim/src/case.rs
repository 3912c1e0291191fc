//! A whole world as plain data: the swarm draws it from a seed, shrinking reduces it, and a `.case` file holds it.

use std::rc::Rc;

use grail_miner::policy::UploadPolicy;
use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use crate::clock::ClockOffset;
use crate::config::{Knobs, SimConfig};
use crate::engine::{EngineSpeed, Generator};
use crate::faults::{Aftermath, Fault, FaultKind, Faults, Placement};
use crate::run::FIRST_WINDOW;
use crate::stream::Stream;

/// The number of this format; another meaning of any field, or of the seed, takes the next one.
pub const FORMAT: u32 = 1;
/// Most faults of one world.
const FAULTS_MAX: u64 = 7;
/// Tokens of a completion of the synthetic engine, about.
const COMPLETION_TOKENS: u64 = 300;
/// In one world of this many a fault lasts for its whole window.
const LONG_ONE_IN: u64 = 8;
/// Faults that may last for a whole window. A process that runs all the time must still give its receipt.
const LONG: [FaultKind; 12] = [
    FaultKind::Deregistration,
    FaultKind::UploadErrorBefore,
    FaultKind::BucketRateLimit,
    FaultKind::ReadError,
    FaultKind::DiskFull,
    FaultKind::SlowDisk,
    FaultKind::SlowEngine,
    FaultKind::EngineOutOfMemory,
    FaultKind::BadGroup,
    FaultKind::NanHidden,
    FaultKind::ImprobableEos,
    FaultKind::WebPage,
];
/// One world in this many kills the miner, and the restarted one gets no block hash until the window is over.
const TOGETHER_ONE_IN: u64 = 32;
/// How long a killed process is down there.
const CRASH_MS: u64 = 2_000;
/// In one world of this many the window's first block is replaced while the process is down, or shortly before.
const REPLACED_WHILE_DOWN_ONE_IN: u64 = 16;
/// In one world of this many the engine stalls in two windows in a row.
const STALLS_ONE_IN: u64 = 32;
/// In one world of this many the engine works on batches and makes as many groups as it can: only these worlds show the
/// cost of a window's end.
const BATCHES_ONE_IN: u64 = 16;
/// More than any of those engines makes in a window.
const GROUPS_MAX: u32 = 1_000;
/// In one world of this many the link to the bucket is slow.
const SLOW_LINK_ONE_IN: u64 = 6;
/// About as many events and effects as a miner has in two windows with faults.
const STEPS: u64 = 260;

/// One world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// [`FORMAT`].
    pub format: u32,
    /// Everything that is not listed here follows from this.
    pub seed: u64,
    /// Number of windows to mine and judge.
    pub windows: u64,
    /// How fast the engine is.
    pub speed: Speed,
    /// Most groups per window.
    pub groups_max: u32,
    /// Whether the beacon enters the randomness.
    pub use_drand: bool,
    /// How many clean groups are uploaded.
    pub policy: UploadPolicy,
    /// Settings of miner and host.
    pub knobs: Knobs,
    /// The faults, with their times.
    pub faults: Vec<Fault>,
}

/// How fast an engine is, as in [`EngineSpeed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Groups worked on at a time.
    pub groups_in_flight: usize,
    /// Tokens per second over all sequences.
    pub tokens_per_s: u64,
    /// Microseconds of proof per token.
    pub proof_us_per_token: u64,
}

impl Case {
    /// Returns the world of a seed: survivable, as each kind of fault is alone, and with nothing wrong in its last
    /// window.
    pub fn drawn(seed: u64, windows: u64) -> Self {
        let mut stream = Stream::new(seed, "swarm/settings", 0);
        let mut groups_in_flight = stream.between(1, 3) as usize;
        let mut group_s = stream.between(3, 20);
        let mut groups_max = if stream.one_in(16) { 6 } else { stream.between(1, 3) as u32 };
        let mut batches = Stream::new(seed, "swarm/batches", 0);
        if batches.one_in(BATCHES_ONE_IN) {
            groups_in_flight = batches.between(1, 8) as usize;
            group_s = batches.between(15, 60);
            groups_max = GROUPS_MAX;
        }
        let sequences = (groups_in_flight * PROTOCOL.rollouts_per_group) as u64;
        let clock = ClockOffset {
            wall_ms: [0, -40, 700, -2_500, 90_000, -3_600_000][stream.below(6) as usize],
            monotonic_ms: [0, 1, 86_400_000][stream.below(3) as usize],
        };
        let mut uplink = Stream::new(seed, "swarm/uplink", 0);
        let validators = stream.between(1, 3) as u32;
        let safety_blocks = stream.between(1, 3);
        let early_upload_ms = [Some(60_000), Some(60_000), Some(20_000), None][stream.below(4) as usize];
        // The first file shows the link's speed, so it must not be the last.
        let is_slow = uplink.one_in(SLOW_LINK_ONE_IN) && early_upload_ms.is_some();
        let knobs = Knobs {
            validators,
            safety_blocks,
            early_upload_ms,
            reorganisation_blocks_max: stream.between(6, 8),
            uplink_bytes_per_ms: if is_slow { uplink.between(20, 500) } else { 5_000 },
            clock,
            crash_at_step: stream.one_in(8).then(|| stream.between(1, STEPS)),
            log_waits: false,
        };
        Self {
            format: FORMAT,
            seed,
            windows,
            speed: Speed {
                groups_in_flight,
                tokens_per_s: COMPLETION_TOKENS * sequences / group_s,
                proof_us_per_token: stream.between(50, 1_000),
            },
            groups_max,
            use_drand: !stream.one_in(8),
            policy: if stream.one_in(4) { UploadPolicy::All } else { UploadPolicy::Score },
            knobs,
            faults: drawn_faults(seed, windows),
        }
    }

    /// Returns the simulation of this world.
    pub fn config(&self, generator: Rc<dyn Generator>) -> SimConfig {
        let Speed { groups_in_flight, tokens_per_s, proof_us_per_token } = self.speed;
        let speed = EngineSpeed::made_up(groups_in_flight, tokens_per_s, proof_us_per_token);
        SimConfig {
            groups_max: Some(self.groups_max),
            faults: Faults::Scheduled(self.faults.clone()),
            use_drand: self.use_drand,
            policy: self.policy,
            knobs: self.knobs,
            ..SimConfig::new(generator, speed, self.seed, self.windows)
        }
    }
}

/// Faults within the budget: at most seven, one that may cost its window by itself, none in the last window.
///
/// Some last for a whole window, half of those together with a reorganisation, to reach states that need long faults: a
/// window without a uid, or one that was started again and never got a group.
fn drawn_faults(seed: u64, windows: u64) -> Vec<Fault> {
    let window_ms = PROTOCOL.window_blocks * PROTOCOL.block_ms;
    let healed_ms = PROTOCOL.block_ms + (windows - 1) * window_ms;
    let begin = |window: u64| (FIRST_WINDOW + window * PROTOCOL.window_blocks, PROTOCOL.block_ms + window * window_ms);
    let mut stream = Stream::new(seed, "swarm/faults", 0);
    let count = stream.between(0, FAULTS_MAX);
    let mut faults: Vec<Fault> = Vec::new();
    for number in 0..count {
        let kind = FaultKind::ALL[stream.below(FaultKind::ALL.len() as u64) as usize];
        let window = if kind.traits().placement == Placement::Before { 0 } else { stream.below(windows - 1) };
        let mut own = Stream::new(seed, kind.name(), format!("swarm/{number}"));
        let (window_start, start_ms) = begin(window);
        let mut fault = Fault::drawn(kind, window_start, start_ms, &mut own);
        fault.until_ms = fault.until_ms.min(healed_ms.max(fault.from_ms + 1));
        add(&mut faults, fault);
    }
    let mut stream = Stream::new(seed, "swarm/long", 0);
    if stream.one_in(LONG_ONE_IN) {
        let (window_start, start_ms) = begin(stream.below(windows - 1));
        let kind = LONG[stream.below(LONG.len() as u64) as usize];
        let long = Fault::drawn(kind, window_start, start_ms, &mut stream);
        let (from_ms, until_ms) = (start_ms - PROTOCOL.block_ms, start_ms + window_ms + PROTOCOL.block_ms);
        faults.retain(|other| (other.kind, other.window_start) != (kind, window_start));
        add(&mut faults, Fault { from_ms, until_ms: until_ms.min(healed_ms), ..long });
        if stream.one_in(2) {
            add(&mut faults, Fault::drawn(FaultKind::Reorganisation, window_start, start_ms, &mut stream));
        }
    }
    let mut stream = Stream::new(seed, "swarm/together", 0);
    if stream.one_in(TOGETHER_ONE_IN) {
        let (window_start, start_ms) = begin(stream.below(windows - 1));
        let from_ms = start_ms + stream.between(window_ms / 4, window_ms * 3 / 4);
        let crash = Fault::drawn(FaultKind::Crash, window_start, start_ms, &mut stream);
        let silence = Fault::drawn(FaultKind::HashesRefused, window_start, start_ms, &mut stream);
        let until_ms = (start_ms + window_ms + PROTOCOL.block_ms).min(healed_ms);
        faults.retain(|other| other.window_start != window_start || ![crash.kind, silence.kind].contains(&other.kind));
        add(&mut faults, Fault { from_ms, until_ms, ..silence });
        add(&mut faults, Fault { from_ms, until_ms: from_ms + CRASH_MS, ..crash });
    }
    let mut stream = Stream::new(seed, "swarm/replaced-while-down", 0);
    if stream.one_in(REPLACED_WHILE_DOWN_ONE_IN) {
        let (window_start, start_ms) = begin(stream.below(windows - 1));
        let replaced = Fault::drawn(FaultKind::Reorganisation, window_start, start_ms, &mut stream);
        let crash = Fault::drawn(FaultKind::Crash, window_start, start_ms, &mut stream);
        // The first block goes while the process is down or shortly before, late enough for a group to be in the journal.
        let strength = replaced.strength.max(3);
        let replaced_ms = start_ms + strength * PROTOCOL.block_ms;
        let mut from_ms = replaced_ms - stream.between(1, PROTOCOL.block_ms);
        let mut until_ms = replaced_ms + stream.between(1, 2 * PROTOCOL.block_ms);
        if stream.one_in(2) {
            from_ms = replaced_ms + stream.between(1, 3 * PROTOCOL.block_ms);
            until_ms = from_ms + CRASH_MS;
        }
        faults.retain(|other| other.window_start != window_start || ![crash.kind, replaced.kind].contains(&other.kind));
        add(&mut faults, Fault { strength, ..replaced });
        add(&mut faults, Fault { from_ms, until_ms, ..crash });
    }
    let mut stream = Stream::new(seed, "swarm/stalls", 0);
    if windows > 2 && stream.one_in(STALLS_ONE_IN) {
        let number = stream.below(windows - 2);
        for window in [number, number + 1] {
            let (window_start, start_ms) = begin(window);
            add(&mut faults, Fault::drawn(FaultKind::StalledEngine, window_start, start_ms, &mut stream));
        }
    }
    faults.sort_unstable_by_key(|fault| (fault.from_ms, fault.kind));
    faults
}

/// Adds a fault where the budget allows it.
fn add(faults: &mut Vec<Fault>, fault: Fault) {
    let spoils = |fault: &Fault| fault.kind.traits().aftermath == Aftermath::SpoilsTheWindow;
    let is_twice = faults.iter().any(|other| (other.kind, other.window_start) == (fault.kind, fault.window_start));
    let is_too_much = spoils(&fault) && faults.iter().any(spoils) || faults.len() >= FAULTS_MAX as usize;
    if !is_twice && !is_too_much {
        faults.push(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_is_within_the_budget_and_every_kind_is_drawn() {
        let cases: Vec<Case> = (0..2_000).map(|seed| Case::drawn(seed, 3)).collect();
        let healed_ms = PROTOCOL.block_ms + 2 * PROTOCOL.window_blocks * PROTOCOL.block_ms;
        for case in &cases {
            assert!(case.faults.len() <= FAULTS_MAX as usize);
            assert!(case.faults.iter().all(|fault| fault.until_ms <= healed_ms), "{case:?}");
        }
        let drawn = |kind: &FaultKind| cases.iter().flat_map(|case| &case.faults).any(|fault| fault.kind == *kind);
        assert!(FaultKind::ALL.iter().all(drawn));
        let is_long = |fault: &Fault| fault.until_ms - fault.from_ms > PROTOCOL.window_blocks * PROTOCOL.block_ms;
        let long = |kind: &FaultKind| cases.iter().flat_map(|case| &case.faults).any(|f| f.kind == *kind && is_long(f));
        assert!(LONG.iter().all(long));
    }
}
