//! A validator's world as plain data: what the swarm draws from a seed, and what a `.case` file holds.

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use grail_sim::case::FORMAT;
use grail_sim::clock::ClockOffset;
use grail_sim::faults::{Fault, FaultKind};
use grail_sim::shrink::Shrinkable;
use grail_sim::stream::Stream;

/// Most faults of one world.
const FAULTS_MAX: u64 = 6;
/// The last windows of a world have no faults of their own, so that a validator must be whole again there.
pub(crate) const HEALED_WINDOWS: u64 = 2;
/// A window and its judging take this long.
pub(crate) const PERIOD_MS: u64 = PROTOCOL.window_blocks * PROTOCOL.block_ms;
/// Trouble within this time after a window's end leaves enough of it to judge everybody.
const EARLY_MS: u64 = 70_000;
/// Trouble that starts this long after a window's end meets a validator that has judged everybody.
const LATE_MS: u64 = 240_000;
/// In one world of this many the validator is killed while it judges, and away until the next window is due.
const AWAY_ONE_IN: u64 = 16;
/// Steps of a validator with few miners in two windows, about.
const STEPS: u64 = 260;

/// Whom a case is about; miners' cases have no such field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A validator.
    Validator,
}

/// One world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgingCase {
    /// Always the validator.
    pub role: Role,
    /// [`FORMAT`].
    pub format: u32,
    /// Everything that is not listed here follows from this.
    pub seed: u64,
    /// Number of windows to judge.
    pub windows: u64,
    /// The newest block when the validator starts; a window has just ended.
    pub first_head: u64,
    /// Hotkeys of miners.
    pub hotkeys: u64,
    /// Miners in a hundred that cheat or whose buckets are hostile.
    pub hostile_percent: u64,
    /// Whether somebody has uid 0.
    pub has_owner: bool,
    /// Whether uids change hands between windows.
    pub uids_change: bool,
    /// Milliseconds that a file takes to judge.
    pub judge_ms: u64,
    /// The subnet's `WeightsSetRateLimit`, in blocks.
    pub rate_limit: u64,
    /// Whether the subnet only takes weights that are revealed later.
    pub commit_reveal: bool,
    /// Whether the beacon enters the challenge.
    pub use_drand: bool,
    /// Whether the journal is made shorter at each start.
    pub compacts: bool,
    /// How far the host's clocks are off.
    pub clock: ClockOffset,
    /// Kill the validator after this many events and effects, and start it again.
    pub crash_at_steps: Vec<u64>,
    /// This call of a port fails, counted from 1 over all ports.
    pub failing_call: Option<u64>,
    /// What else goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// What may go wrong around a validator. Those of the miner's engine are about the model that judges, those of
/// commitments about setting weights, and those of buckets about the validator's own way to all of them.
pub(crate) const KINDS: [FaultKind; 37] = [
    FaultKind::BeaconOutage,
    FaultKind::BeaconLate,
    FaultKind::BeaconMissing,
    FaultKind::BeaconWrongRound,
    FaultKind::BeaconWrongSignature,
    FaultKind::BeaconDisagreement,
    FaultKind::BeaconCatchUp,
    FaultKind::EndpointSilence,
    FaultKind::HalfDeadSocket,
    FaultKind::ChainRateLimit,
    FaultKind::HashesRefused,
    FaultKind::FrozenHead,
    FaultKind::LyingEndpoint,
    FaultKind::StalledChain,
    FaultKind::BlockJitter,
    FaultKind::RuntimeUpgrade,
    FaultKind::FalseHead,
    FaultKind::InventedHead,
    FaultKind::EndpointBehind,
    FaultKind::ChainOutage,
    FaultKind::Reorganisation,
    FaultKind::Deregistration,
    FaultKind::DroppedExtrinsic,
    FaultKind::LateExtrinsic,
    FaultKind::UploadErrorAfter,
    FaultKind::NonceRace,
    FaultKind::BucketRateLimit,
    FaultKind::SlowBucket,
    FaultKind::ReadError,
    FaultKind::ClockStep,
    FaultKind::ClockDrift,
    FaultKind::Suspend,
    FaultKind::Crash,
    FaultKind::DiskFull,
    FaultKind::SlowDisk,
    FaultKind::StalledEngine,
    FaultKind::EngineOutOfMemory,
];

/// Faults of the world itself, which the twin meets as well.
pub(crate) const OF_THE_WORLD: [FaultKind; 3] =
    [FaultKind::StalledChain, FaultKind::BlockJitter, FaultKind::Reorganisation];

/// Faults that never cost a validator a verdict, however long they last: it continues without the beacon, and its wall
/// clock decides only the round. Those about weights are harmless as well, since weights can wait.
const HARMLESS: [FaultKind; 11] = [
    FaultKind::BeaconOutage,
    FaultKind::BeaconLate,
    FaultKind::BeaconMissing,
    FaultKind::BeaconWrongRound,
    FaultKind::BeaconWrongSignature,
    FaultKind::BeaconDisagreement,
    FaultKind::BeaconCatchUp,
    FaultKind::BlockJitter,
    FaultKind::ClockStep,
    FaultKind::ClockDrift,
    FaultKind::DiskFull,
];

/// What may make the chain take other weights, or none, in an interval.
const ABOUT_WEIGHTS: [FaultKind; 6] = [
    FaultKind::Reorganisation,
    FaultKind::Deregistration,
    FaultKind::DroppedExtrinsic,
    FaultKind::LateExtrinsic,
    FaultKind::UploadErrorAfter,
    FaultKind::NonceRace,
];

fn is_harmless(fault: &Fault) -> bool {
    HARMLESS.contains(&fault.kind) || ABOUT_WEIGHTS.contains(&fault.kind)
}

impl JudgingCase {
    /// Returns the world of a seed, with this many windows or, in one world of four, as many as a failure lasts and more.
    pub fn drawn(seed: u64, windows: u64) -> Self {
        let mut stream = Stream::new(seed, "judging/settings", 0);
        let windows = HEALED_WINDOWS + windows + if stream.one_in(4) { stream.between(9, 22) } else { 0 };
        let hotkeys = match stream.below(32) {
            0 => stream.between(200, 256),
            1..=4 => stream.between(36, 80),
            _ => stream.between(1, 12),
        };
        let window_start = PROTOCOL.window_blocks * stream.between(10, 60);
        let clock = ClockOffset {
            wall_ms: [0, -40, 700, -2_500, 90_000, -3_600_000][stream.below(6) as usize],
            monotonic_ms: [0, 1, 86_400_000][stream.below(3) as usize],
        };
        let mut crash_at_steps = Vec::new();
        if stream.one_in(3) {
            let few = STEPS * hotkeys.clamp(2, 40) / 4;
            crash_at_steps = (0..stream.between(1, 3)).map(|_| stream.between(1, few)).collect();
            crash_at_steps.sort_unstable();
        }
        Self {
            role: Role::Validator,
            format: FORMAT,
            seed,
            windows,
            first_head: window_start + stream.between(0, 2),
            hotkeys,
            hostile_percent: [10, 40, 90][stream.below(3) as usize],
            has_owner: !stream.one_in(8),
            uids_change: stream.one_in(4),
            judge_ms: stream.between(50, 2_000),
            rate_limit: [0, 0, 100, 360][stream.below(4) as usize],
            commit_reveal: stream.one_in(32),
            use_drand: !stream.one_in(8),
            compacts: stream.one_in(2),
            clock,
            crash_at_steps,
            failing_call: stream.one_in(4).then(|| stream.between(1, STEPS)),
            faults: Vec::new(),
        }
        .with_faults()
    }

    fn with_faults(mut self) -> Self {
        let mut stream = Stream::new(self.seed, "judging/faults", 0);
        // In half of the worlds each trouble is short enough for every window to be judged.
        let is_short = stream.one_in(2);
        for number in 0..stream.between(0, FAULTS_MAX) {
            let kind = KINDS[stream.below(KINDS.len() as u64) as usize];
            let period = stream.below(self.windows - HEALED_WINDOWS);
            let mut own = Stream::new(self.seed, kind.name(), format!("judging/{number}"));
            let (block, start_ms) = self.period(period);
            let mut fault = Fault::drawn(kind, block, start_ms, &mut own);
            if ABOUT_WEIGHTS.contains(&kind) && kind != FaultKind::Reorganisation {
                // Weights follow the last verdict.
                fault.from_ms = start_ms;
                fault.until_ms = start_ms + own.between(20_000, PERIOD_MS);
            }
            if is_short && !is_harmless(&fault) {
                fault.from_ms = start_ms + own.below(EARLY_MS / 2);
                fault.until_ms = fault.from_ms + own.between(1_000, EARLY_MS / 2);
            }
            fault.until_ms = fault.until_ms.min(self.healed_ms());
            if fault.from_ms < fault.until_ms || kind == FaultKind::Reorganisation {
                self.faults.push(fault);
            }
        }
        let mut stream = Stream::new(self.seed, "judging/away", 0);
        if stream.one_in(AWAY_ONE_IN) {
            let (block, start_ms) = self.period(stream.below(self.windows - HEALED_WINDOWS));
            let crash = Fault::drawn(FaultKind::Crash, block, start_ms, &mut stream);
            let from_ms = start_ms + stream.between(1_000, PERIOD_MS / 2);
            let until_ms = start_ms + PERIOD_MS + stream.between(1_000, PERIOD_MS / 2);
            self.faults.push(Fault { from_ms, until_ms: until_ms.min(self.healed_ms()), ..crash });
        }
        self.faults.sort_unstable_by_key(|fault| (fault.from_ms, fault.kind));
        self
    }

    /// Returns the first block of the time in which the window of this number is judged, and about when that comes.
    pub(crate) fn period(&self, number: u64) -> (u64, u64) {
        let first = self.first_head - self.first_head % PROTOCOL.window_blocks;
        let block = first + number * PROTOCOL.window_blocks;
        (block, block.saturating_sub(self.first_head) * PROTOCOL.block_ms)
    }

    /// Returns from when on nothing goes wrong any more.
    pub(crate) fn healed_ms(&self) -> u64 {
        self.period(self.windows - HEALED_WINDOWS).1
    }

    /// Returns the block with which the time for the last window is over; the world lives one block longer.
    pub(crate) fn end(&self) -> u64 {
        self.period(self.windows).0
    }

    /// Returns whether every window can be judged in time in spite of everything: then the validator must decide as its
    /// twin does.
    pub fn is_survivable(&self) -> bool {
        let has = |kind| self.faults.iter().any(|fault| fault.kind == kind);
        let crashes = has(FaultKind::Crash) || !self.crash_at_steps.is_empty();
        // Slots that are missed move all that follows against the clock.
        let is_moved = has(FaultKind::StalledChain) && !self.faults.iter().all(|f| f.kind == FaultKind::StalledChain);
        let is_short = |fault: &Fault| {
            // Periods are counted from the start, as the first one is shorter.
            let from_ms = (fault.from_ms + (self.first_head % PROTOCOL.window_blocks) * PROTOCOL.block_ms) % PERIOD_MS;
            let until_ms = from_ms + fault.until_ms.saturating_sub(fault.from_ms);
            until_ms <= EARLY_MS || from_ms >= LATE_MS && until_ms <= PERIOD_MS + EARLY_MS
        };
        // Several troubles in one window may add up.
        let periods = self.faults.iter().filter(|fault| !is_harmless(fault)).map(|fault| fault.from_ms / PERIOD_MS);
        let mut periods: Vec<u64> = periods.collect();
        periods.dedup();
        let troubles = self.faults.iter().filter(|fault| !is_harmless(fault)).count();
        // A process that dies forgets what its disk refused.
        let forgets = (has(FaultKind::DiskFull) || self.failing_call.is_some()) && crashes;
        let is_lost = |fault: &Fault| matches!(fault.kind, FaultKind::StalledEngine | FaultKind::ChainOutage);
        !forgets
            && !is_moved
            && troubles == periods.len()
            && self.faults.iter().all(|fault| is_harmless(fault) || is_short(fault) && !is_lost(fault))
    }

    /// Returns whether nothing is wrong with setting weights.
    pub(crate) fn keeps_weights(&self) -> bool {
        !self.faults.iter().any(|fault| ABOUT_WEIGHTS.contains(&fault.kind))
    }

    /// Returns the same world for a validator to which nothing happens.
    pub(crate) fn of_twin(&self) -> Self {
        let mut twin = self.clone();
        twin.faults.retain(|fault| OF_THE_WORLD.contains(&fault.kind));
        Self { clock: ClockOffset::default(), crash_at_steps: Vec::new(), failing_call: None, ..twin }
    }
}

impl Shrinkable for JudgingCase {
    const SIMPLER: &'static [fn(&mut Self)] = &[
        |case| case.crash_at_steps.clear(),
        |case| case.crash_at_steps.truncate(1),
        |case| case.failing_call = None,
        |case| case.clock = ClockOffset::default(),
        |case| case.hotkeys = (case.hotkeys / 2).max(1),
        |case| case.hotkeys = (case.hotkeys - 1).max(1),
        |case| case.hostile_percent = 0,
        |case| case.uids_change = false,
        |case| case.has_owner = true,
        |case| case.judge_ms = 50,
        |case| case.rate_limit = 0,
        |case| case.commit_reveal = false,
        |case| case.use_drand = true,
        |case| case.compacts = false,
        |case| case.windows = (case.windows - 1).max(HEALED_WINDOWS + 1),
    ];

    fn faults(&mut self) -> &mut Vec<Fault> {
        &mut self.faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sorts_of_worlds_are_drawn_with_every_kind_of_fault() {
        let cases: Vec<JudgingCase> = (0..2_000).map(|seed| JudgingCase::drawn(seed, 3)).collect();
        let drawn = |kind: &FaultKind| cases.iter().flat_map(|case| &case.faults).any(|fault| fault.kind == *kind);
        assert!(KINDS.iter().all(drawn));
        let survivable = cases.iter().filter(|case| case.is_survivable() && !case.faults.is_empty()).count();
        assert!((300..1_700).contains(&survivable), "{survivable}");
        assert!(cases.iter().any(|case| case.hotkeys > 200));
        for case in &cases {
            assert!(case.faults.iter().all(|fault| fault.until_ms <= case.healed_ms()), "{case:?}");
        }
    }

    #[test]
    fn a_twin_meets_the_worlds_faults_alone() {
        let case = JudgingCase::drawn(3, 3);
        let fault = |kind| Fault { kind, from_ms: 1, until_ms: 2, strength: 1, window_start: 0 };
        let faults = vec![fault(FaultKind::Crash), fault(FaultKind::BlockJitter)];
        let twin = JudgingCase { faults, crash_at_steps: vec![3], ..case }.of_twin();
        assert_eq!(twin.faults, [fault(FaultKind::BlockJitter)]);
        assert!(twin.crash_at_steps.is_empty() && twin.is_survivable());
    }
}
