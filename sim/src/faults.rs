//! Faults: what goes wrong in a simulated world, and when.

mod kind;

use std::cell::RefCell;
use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use crate::nearest::similar;
use crate::stream::Stream;

pub use kind::FaultKind;
pub(crate) use kind::{Aftermath, Placement};

/// One window of this many has a fault of a kind, where faults are random.
const RANDOM_ONE_IN: u64 = 15;

/// How long into a window its first block is final, and the first upload follows.
const UPLOAD_MS: u64 = 6 * PROTOCOL.block_ms;

/// Which faults a run has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Faults {
    /// None.
    #[default]
    None,
    /// These, in every window.
    Listed(Vec<FaultKind>),
    /// Each kind in one window of fifteen.
    Random,
    /// Exactly these.
    Scheduled(Vec<Fault>),
}

impl std::str::FromStr for Faults {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "random" => Ok(Self::Random),
            list => {
                let kind = |name: &str| FaultKind::ALL.iter().copied().find(|kind| kind.name() == name);
                let kinds = list.split(',').map(|name| kind(name).ok_or_else(|| UnknownFault(name.to_owned())));
                Ok(Self::Listed(kinds.collect::<Result<_, _>>()?))
            }
        }
    }
}

/// As on the command line; a schedule by its number of faults.
impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Random => f.write_str("random"),
            Self::Listed(kinds) => f.write_str(&kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(",")),
            Self::Scheduled(faults) => write!(f, "a schedule of {}", faults.len()),
        }
    }
}

/// A fault that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFault(String);

impl std::fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let meant = similar(&self.0, FaultKind::ALL.iter().map(|kind| kind.name()));
        let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
        write!(f, "unknown fault {:?}; {meant}use none, random, or names that `grail sim --list-faults` shows", self.0)
    }
}

impl std::error::Error for UnknownFault {}

/// One fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// From when, in virtual milliseconds.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// Strength, in the unit that its kind's meaning names.
    pub strength: u64,
    /// First block of the window it was drawn for.
    pub window_start: u64,
}

/// Every fault of a run; known before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    faults: Vec<Fault>,
    /// The same by kind, in the order in which they start.
    by_kind: BTreeMap<FaultKind, OfAKind>,
    /// How often each kind had an effect.
    effects: RefCell<BTreeMap<FaultKind, u64>>,
}

/// Every fault of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OfAKind {
    faults: Vec<Fault>,
    /// How long the longest lasts.
    longest_ms: u64,
}

impl FaultPlan {
    /// Draws the faults of `windows` windows; the first starts with block `first_window` about `first_ms` into the run.
    pub fn draw(seed: u64, faults: &Faults, first_window: u64, windows: u64, first_ms: u64) -> Self {
        if let Faults::Scheduled(faults) = faults {
            return Self::scheduled(faults.clone());
        }
        let mut plan = Vec::new();
        for number in 0..windows {
            let window_start = first_window + number * PROTOCOL.window_blocks;
            let start_ms = first_ms + number * PROTOCOL.window_blocks * PROTOCOL.block_ms;
            for &kind in FaultKind::ALL {
                let mut stream = Stream::new(seed, kind.name(), window_start);
                let happens = match faults {
                    Faults::None | Faults::Scheduled(_) => false,
                    Faults::Listed(kinds) => kinds.contains(&kind),
                    Faults::Random => stream.one_in(RANDOM_ONE_IN),
                };
                if happens {
                    plan.push(Fault::drawn(kind, window_start, start_ms, &mut stream));
                }
            }
        }
        Self::scheduled(plan)
    }

    /// Exactly these faults.
    pub fn scheduled(faults: Vec<Fault>) -> Self {
        let mut by_kind: BTreeMap<FaultKind, OfAKind> = BTreeMap::new();
        for fault in &faults {
            let of_a_kind = by_kind.entry(fault.kind).or_default();
            of_a_kind.faults.push(*fault);
            of_a_kind.longest_ms = of_a_kind.longest_ms.max(fault.until_ms.saturating_sub(fault.from_ms));
        }
        by_kind.values_mut().for_each(|of_a_kind| of_a_kind.faults.sort_by_key(|fault| fault.from_ms));
        Self { faults, by_kind, effects: RefCell::default() }
    }

    /// Returns every fault, in order of window and kind.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Returns how often each kind had an effect so far.
    pub fn effects(&self) -> BTreeMap<FaultKind, u64> {
        self.effects.borrow().clone()
    }

    /// Returns a fault of this kind that is active, and has an effect now.
    pub fn strikes(&self, kind: FaultKind, now_ms: u64) -> Option<&Fault> {
        let fault = self.active(kind, now_ms);
        if fault.is_some() {
            self.took_effect(kind);
        }
        fault
    }

    /// Records that a fault of this kind had an effect.
    pub fn took_effect(&self, kind: FaultKind) {
        *self.effects.borrow_mut().entry(kind).or_default() += 1;
    }

    /// Returns a fault of this kind that is active.
    pub fn active(&self, kind: FaultKind, now_ms: u64) -> Option<&Fault> {
        let OfAKind { faults, longest_ms } = self.by_kind.get(&kind)?;
        // A fault that started longer ago than the longest one lasts is over; a month has thousands of those.
        let first = faults.partition_point(|fault| fault.from_ms + longest_ms <= now_ms);
        faults[first..].iter().take_while(|fault| fault.from_ms <= now_ms).find(|fault| now_ms < fault.until_ms)
    }

    /// Returns every fault of this kind, in the order in which they start.
    pub fn of(&self, kind: FaultKind) -> impl Iterator<Item = &Fault> {
        self.by_kind.get(&kind).into_iter().flat_map(|of_a_kind| &of_a_kind.faults)
    }

    /// Returns the newest fault of this kind that has started.
    pub fn newest_begun(&self, kind: FaultKind, now_ms: u64) -> Option<&Fault> {
        let faults = &self.by_kind.get(&kind)?.faults;
        faults[..faults.partition_point(|fault| fault.from_ms <= now_ms)].last()
    }

    /// Returns the present divisor of the engine's speed.
    pub fn slowness(&self, now_ms: u64) -> u64 {
        self.strikes(FaultKind::SlowEngine, now_ms).map_or(1, |fault| fault.strength)
    }

    /// Returns the first block that is replaced when `block` arrives, if one is.
    pub fn replaced_at(&self, block: u64) -> Option<u64> {
        let replaced = self.of(FaultKind::Reorganisation).find(|fault| fault.window_start + fault.strength == block)?;
        self.took_effect(FaultKind::Reorganisation);
        Some(replaced.window_start)
    }
}

impl Fault {
    /// Creates a fault of this kind somewhere in the window that starts about `start_ms`.
    pub fn drawn(kind: FaultKind, window_start: u64, start_ms: u64, stream: &mut Stream) -> Self {
        let length_ms = PROTOCOL.window_blocks * PROTOCOL.block_ms;
        let kind::Traits { placement, duration_ms: (shortest, longest), strength: (weakest, strongest), .. } =
            kind.traits();
        let duration_ms = stream.between(shortest, longest);
        let anywhere = |stream: &mut Stream| start_ms + stream.below(length_ms - duration_ms);
        let third = stream.below(3);
        // Faults hurt most at the ends of a window and while an upload is due, so most of them strike there.
        let from_ms = match placement {
            Placement::Before => start_ms.saturating_sub(PROTOCOL.block_ms),
            Placement::Start => start_ms,
            Placement::End => start_ms + length_ms - PROTOCOL.block_ms,
            Placement::StartOrAnywhere if third > 0 => start_ms,
            Placement::UploadOrAnywhere if third == 1 => start_ms + UPLOAD_MS,
            Placement::UploadOrAnywhere if third == 2 => start_ms + length_ms - duration_ms,
            _ => anywhere(stream),
        };
        let strength = stream.between(weakest, strongest);
        Self { kind, from_ms, until_ms: from_ms + duration_ms, strength, window_start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_fault_leaves_the_others_where_they_are() {
        let all = FaultPlan::draw(5, &Faults::Listed(FaultKind::ALL.to_vec()), 300, 4, 12_000);
        for &kind in FaultKind::ALL {
            let alone = FaultPlan::draw(5, &Faults::Listed(vec![kind]), 300, 4, 12_000);
            let among: Vec<_> = all.of(kind).copied().collect();
            assert_eq!(alone.faults(), among);
        }
    }

    #[test]
    fn active_faults_equal_those_of_a_full_scan() {
        let kinds = [FaultKind::SlowDisk, FaultKind::Suspend];
        let mut stream = Stream::new(1, "test/plan", 0);
        for _ in 0..200 {
            let mut drawn = |_| {
                let from_ms = stream.below(60);
                let kind = kinds[stream.below(2) as usize];
                Fault { kind, from_ms, until_ms: from_ms + stream.below(30), strength: 1, window_start: 0 }
            };
            let faults: Vec<Fault> = (0..8).map(&mut drawn).collect();
            let plan = FaultPlan::scheduled(faults.clone());
            for (now_ms, kind) in (0..100).flat_map(|now_ms| kinds.map(|kind| (now_ms, kind))) {
                let is_active =
                    |fault: &&Fault| fault.kind == kind && (fault.from_ms..fault.until_ms).contains(&now_ms);
                let begun = faults.iter().filter(|fault| fault.kind == kind && fault.from_ms <= now_ms);
                assert_eq!(
                    plan.active(kind, now_ms).map(|fault| fault.from_ms),
                    faults.iter().filter(is_active).map(|fault| fault.from_ms).min()
                );
                assert_eq!(
                    plan.newest_begun(kind, now_ms).map(|fault| fault.from_ms),
                    begun.map(|fault| fault.from_ms).max()
                );
            }
        }
    }

    #[test]
    fn names_are_read_back_and_unknown_ones_named() {
        for &kind in FaultKind::ALL {
            assert_eq!(kind.name().parse(), Ok(Faults::Listed(vec![kind])));
        }
        let error = "beacon-outage,fire".parse::<Faults>().expect_err("fire is no fault");
        assert!(error.to_string().contains("\"fire\"") && error.to_string().contains("--list-faults"));
        let error = "slow-engin".parse::<Faults>().expect_err("a letter is missing");
        assert!(error.to_string().contains("did you mean `slow-engine`?"), "{error}");
    }

    #[test]
    fn a_fault_that_strikes_is_counted_and_one_that_is_looked_at_is_not() {
        let fault = Fault { kind: FaultKind::ReadLag, from_ms: 10, until_ms: 20, strength: 5, window_start: 0 };
        let plan = FaultPlan::scheduled(vec![fault]);
        assert_eq!(plan.active(FaultKind::ReadLag, 10), Some(&fault));
        assert_eq!(plan.strikes(FaultKind::ReadLag, 20), None);
        assert_eq!(plan.effects(), BTreeMap::new());
        assert!(plan.strikes(FaultKind::ReadLag, 19).is_some());
        assert_eq!(plan.effects(), BTreeMap::from([(FaultKind::ReadLag, 1)]));
    }
}
