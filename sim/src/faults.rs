//! Faults: what goes wrong in a simulated world, and when.

use grail_protocol::PROTOCOL;

use crate::stream::Stream;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// No beacon relay answers.
    BeaconOutage,
    /// Uploads are refused before anything is written.
    UploadErrorBefore,
    /// Uploads are written, but the answer is lost.
    UploadErrorAfter,
    /// The chain's endpoint accepts calls and does not answer.
    EndpointSilence,
    /// The window's first block is replaced a few blocks later.
    Reorganisation,
    /// The engine runs at a fraction of its speed.
    SlowEngine,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::BeaconOutage,
        Self::UploadErrorBefore,
        Self::UploadErrorAfter,
        Self::EndpointSilence,
        Self::Reorganisation,
        Self::SlowEngine,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeaconOutage => "beacon-outage",
            Self::UploadErrorBefore => "upload-error-before",
            Self::UploadErrorAfter => "upload-error-after",
            Self::EndpointSilence => "endpoint-silence",
            Self::Reorganisation => "reorganisation",
            Self::SlowEngine => "slow-engine",
        }
    }

    /// Shortest and longest duration in milliseconds.
    const fn duration_ms(self) -> (u64, u64) {
        match self {
            Self::BeaconOutage => (30_000, 200_000),
            Self::UploadErrorBefore | Self::UploadErrorAfter => (5_000, 60_000),
            Self::EndpointSilence => (10_000, 90_000),
            Self::Reorganisation => (0, 0),
            Self::SlowEngine => (30_000, 150_000),
        }
    }
}

/// Which faults a run has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Faults {
    /// None.
    #[default]
    None,
    /// These, in every window.
    Listed(Vec<FaultKind>),
    /// Each kind in one window of three.
    Random,
}

impl std::str::FromStr for Faults {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "random" => Ok(Self::Random),
            list => {
                let kind = |name: &str| FaultKind::ALL.into_iter().find(|kind| kind.name() == name);
                let kinds = list.split(',').map(|name| kind(name).ok_or_else(|| UnknownFault(name.to_owned())));
                Ok(Self::Listed(kinds.collect::<Result<_, _>>()?))
            }
        }
    }
}

/// A fault that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFault(String);

impl std::fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        write!(f, "unknown fault {:?}; use none, random, or a comma-separated list of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownFault {}

/// One fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// From when, in virtual milliseconds.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// Strength: the divisor of a slow engine's speed, the depth of a reorganisation in blocks.
    pub strength: u64,
    /// First block of the window it was drawn for.
    pub window_start: u64,
}

/// Every fault of a run; drawn before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    faults: Vec<Fault>,
}

impl FaultPlan {
    /// Draw the faults of `windows` windows; the first begins with block `first_window` about `first_ms` into the run.
    pub fn draw(seed: u64, faults: &Faults, first_window: u64, windows: u64, first_ms: u64) -> Self {
        let mut plan = Self::default();
        for number in 0..windows {
            let window_start = first_window + number * PROTOCOL.window_blocks;
            let start_ms = first_ms + number * PROTOCOL.window_blocks * PROTOCOL.block_ms;
            for kind in FaultKind::ALL {
                let mut stream = Stream::new(seed, kind.name(), window_start);
                let happens = match faults {
                    Faults::None => false,
                    Faults::Listed(kinds) => kinds.contains(&kind),
                    Faults::Random => stream.one_in(3),
                };
                if happens {
                    plan.faults.push(drawn(kind, window_start, start_ms, &mut stream));
                }
            }
        }
        plan
    }

    /// Every fault, in order of window and kind.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Until when a fault of this kind lasts, if one is active.
    pub fn active(&self, kind: FaultKind, now_ms: u64) -> Option<u64> {
        self.active_fault(kind, now_ms).map(|fault| fault.until_ms)
    }

    /// By what the engine's speed is divided now.
    pub fn slowness(&self, now_ms: u64) -> u64 {
        self.active_fault(FaultKind::SlowEngine, now_ms).map_or(1, |fault| fault.strength)
    }

    /// The first block that is replaced when `block` arrives, if one is.
    pub fn replaced_at(&self, block: u64) -> Option<u64> {
        let replaces =
            |fault: &&Fault| fault.kind == FaultKind::Reorganisation && fault.window_start + fault.strength == block;
        self.faults.iter().find(replaces).map(|fault| fault.window_start)
    }

    fn active_fault(&self, kind: FaultKind, now_ms: u64) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.kind == kind && (fault.from_ms..fault.until_ms).contains(&now_ms))
    }
}

fn drawn(kind: FaultKind, window_start: u64, start_ms: u64, stream: &mut Stream) -> Fault {
    let length_ms = PROTOCOL.window_blocks * PROTOCOL.block_ms;
    let (shortest, longest) = kind.duration_ms();
    let duration_ms = stream.between(shortest, longest);
    let offset_ms = match kind {
        // What happens at the ends of a window hurts most, so half of the faults strike there.
        FaultKind::BeaconOutage => 0,
        FaultKind::UploadErrorBefore | FaultKind::UploadErrorAfter if stream.one_in(2) => length_ms - duration_ms,
        FaultKind::EndpointSilence if stream.one_in(2) => 0,
        _ => stream.below(length_ms - duration_ms),
    };
    let strength = match kind {
        FaultKind::SlowEngine => stream.between(2, 10),
        FaultKind::Reorganisation => stream.between(1, 3),
        _ => 1,
    };
    let from_ms = start_ms + offset_ms;
    Fault { kind, from_ms, until_ms: from_ms + duration_ms, strength, window_start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_fault_leaves_the_others_where_they_are() {
        let all = FaultPlan::draw(5, &Faults::Listed(FaultKind::ALL.to_vec()), 300, 4, 12_000);
        for kind in FaultKind::ALL {
            let alone = FaultPlan::draw(5, &Faults::Listed(vec![kind]), 300, 4, 12_000);
            let among: Vec<_> = all.faults().iter().filter(|fault| fault.kind == kind).copied().collect();
            assert_eq!(alone.faults(), among);
        }
    }

    #[test]
    fn names_are_read_back_and_unknown_ones_named() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.name().parse(), Ok(Faults::Listed(vec![kind])));
        }
        let error = "beacon-outage,fire".parse::<Faults>().expect_err("fire is no fault");
        assert!(error.to_string().contains("\"fire\"") && error.to_string().contains("slow-engine"));
    }
}
