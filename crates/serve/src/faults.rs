//! Faults of the served world: the meaning of each, and when a listed one strikes.

use std::str::FromStr;

use grail_protocol::PROTOCOL;
use grail_sim::nearest::similar;
use grail_sim::stream::Stream;

/// A fault; while it is on, the servers behave as its meaning says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[allow(missing_docs, reason = "`meaning` documents each, for readers and for users")]
pub enum ServeFault {
    BeaconOutage,
    BeaconWrongSignature,
    BeaconLate,
    BeaconMissing,
    UploadErrorBefore,
    UploadErrorAfter,
    UploadTimeOutAfter,
    SlowBucket,
    BucketRateLimit,
    ExpiredWriteKey,
    ExpiredReadKey,
    ReadOnlyWriteKey,
    WebPage,
    NoConditions,
    WrongAddress,
    EndpointSilence,
    EndpointDown,
    HalfDeadSocket,
    SocketCut,
    ChainRateLimit,
    FrozenHead,
    StalledChain,
    Reorganisation,
    RuntimeUpgrade,
    Deregistration,
    SlowEngine,
    BrokenConfiguration,
    HeldLock,
    FalseHead,
    EndpointBehind,
    LyingEndpoint,
}

/// A fault that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault {0:?}; {meant}`grail sim serve --list-faults` shows all of them", meant = meant(.0))]
pub struct UnknownServeFault(pub String);

fn meant(name: &str) -> String {
    let meant = similar(name, ServeFault::ALL.iter().map(|fault| fault.name()));
    meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "))
}

impl ServeFault {
    /// Every fault.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns what it does.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::BeaconOutage => "the relay closes every connection",
            Self::BeaconWrongSignature => "the relay signs rounds with a key that is not the network's",
            Self::BeaconLate => "the relay has each round a minute after it was due",
            Self::BeaconMissing => "the relay answers, and has no round",
            Self::UploadErrorBefore => "uploads are answered with 503 before anything is written",
            Self::UploadErrorAfter => "uploads are written, and the connection is closed instead of an answer",
            Self::UploadTimeOutAfter => "uploads are written, and the answer never comes",
            Self::SlowBucket => "every request to the bucket takes one and a half blocks longer",
            Self::BucketRateLimit => "the bucket answers every request with 429",
            Self::ExpiredWriteKey => "the bucket refuses the write key as expired",
            Self::ExpiredReadKey => "the bucket refuses the read key as expired",
            Self::ReadOnlyWriteKey => "the write key may no longer write",
            Self::WebPage => "a web page with status 403 answers every request to the bucket in the store's place",
            Self::NoConditions => "the bucket answers every upload that depends on a condition with 501 NotImplemented",
            Self::WrongAddress => {
                "what the write key asks for happens in another bucket, from which validators do not read"
            }
            Self::EndpointSilence => "both chain endpoints take calls and never answer them",
            Self::EndpointDown => "the first chain endpoint closes every connection",
            Self::HalfDeadSocket => "the first chain endpoint accepts connections and says nothing; open ones go dead",
            Self::SocketCut => "every open connection to the chain is cut, once; new ones are accepted",
            Self::ChainRateLimit => "both chain endpoints answer 429, and calls on open connections error -32005",
            Self::FrozenHead => "the first chain endpoint shows no new block",
            Self::StalledChain => "no block is made",
            Self::Reorganisation => "each window's first block is replaced two blocks later",
            Self::RuntimeUpgrade => "the other of the two runtimes is in force",
            Self::Deregistration => "the miner's hotkey has no uid",
            Self::SlowEngine => "busy threads compete with the miner's engine, one for each core",
            Self::BrokenConfiguration => {
                "the world's .env has a line that cannot be read, which SIGHUP makes a miner meet"
            }
            Self::HeldLock => {
                "the lock on the hotkey's file stays held when its miner is gone, as if that were still dying"
            }
            Self::FalseHead => "the first chain endpoint announces one head that is a million blocks too high",
            Self::EndpointBehind => {
                "the first chain endpoint is syncing and a week behind: an old head, and nobody is registered"
            }
            Self::LyingEndpoint => {
                "the first chain endpoint gives made-up hashes of blocks, and shows no uid and no commitment of anybody"
            }
        }
    }

    /// Returns whether its window may be lost without a fault of the miner; the next window may not.
    pub const fn may_cost_its_window(self) -> bool {
        match self {
            Self::BeaconOutage | Self::BeaconWrongSignature | Self::BeaconLate | Self::BeaconMissing => false,
            Self::UploadErrorBefore | Self::UploadErrorAfter | Self::SlowBucket | Self::BucketRateLimit => false,
            Self::WebPage => false,
            Self::EndpointDown | Self::SocketCut | Self::RuntimeUpgrade | Self::Reorganisation => false,
            Self::BrokenConfiguration => false,
            Self::FalseHead | Self::EndpointBehind | Self::LyingEndpoint => false,
            // A key that stopped working is not retried in the same window: only the operator can fix it.
            Self::ExpiredWriteKey | Self::ExpiredReadKey | Self::ReadOnlyWriteKey => true,
            // Neither is a store that has no conditional writes.
            Self::NoConditions => true,
            // An acknowledged write is read several times before it is sent again.
            Self::WrongAddress => true,
            // With blocks of a quarter of a second, noticing a silent socket takes much of a window.
            Self::EndpointSilence | Self::HalfDeadSocket | Self::ChainRateLimit => true,
            Self::FrozenHead | Self::StalledChain => true,
            Self::UploadTimeOutAfter | Self::Deregistration | Self::SlowEngine | Self::HeldLock => true,
        }
    }

    /// Returns the block of a window at which it strikes if it was listed at the start, and the one at which it ends.
    pub fn stretch(self, seed: u64, window: u64) -> (u64, u64) {
        let blocks = PROTOCOL.window_blocks;
        let mut stream = Stream::new(seed, self.name(), window);
        let length = stream.between(blocks / 10, blocks / 3);
        let from = match self {
            // These matter at a window's beginning, or only there.
            Self::BeaconOutage | Self::BeaconWrongSignature | Self::BeaconLate | Self::BeaconMissing => 0,
            Self::Reorganisation => 0,
            // Half of these strike at the end, where an upload is due.
            Self::UploadErrorBefore
            | Self::UploadErrorAfter
            | Self::UploadTimeOutAfter
            | Self::SlowBucket
            | Self::WebPage
            | Self::NoConditions
            | Self::WrongAddress
                if stream.one_in(2) =>
            {
                blocks - length
            }
            _ => stream.below(blocks - length),
        };
        (window + from, window + from + length)
    }
}

impl FromStr for ServeFault {
    type Err = UnknownServeFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|fault| fault.name() == text.trim());
        found.ok_or_else(|| UnknownServeFault(text.trim().to_owned()))
    }
}

/// Returns the faults in a list with commas between; `none` or nothing is none, `all` all.
///
/// # Errors
/// [`UnknownServeFault`] with the first unknown name.
pub fn parse_list(text: &str) -> Result<Vec<ServeFault>, UnknownServeFault> {
    match text.trim() {
        "" | "none" => Ok(Vec::new()),
        "all" => Ok(ServeFault::ALL.to_vec()),
        list => list.split(',').map(str::parse).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use grail_sim::faults::FaultKind;

    use super::*;

    #[test]
    fn names_differ_and_are_read_back() {
        let names: BTreeSet<_> = ServeFault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), ServeFault::ALL.len());
        assert!(ServeFault::ALL.iter().all(|fault| fault.name().parse() == Ok(*fault)));
        assert_eq!(parse_list("socket-cut, fire"), Err(UnknownServeFault("fire".to_owned())));
    }

    #[test]
    fn faults_of_both_worlds_share_their_names() {
        let shared = FaultKind::ALL.iter().filter(|kind| kind.name().parse::<ServeFault>().is_ok()).count();
        assert!(shared >= 20, "{shared} names are shared");
    }

    #[test]
    fn a_stretch_lies_within_its_window() {
        for fault in ServeFault::ALL {
            for (seed, window) in (0..50).map(|number| (number, 30 * number)) {
                let (from, until) = fault.stretch(seed, window);
                assert!(window <= from && from < until && until <= window + 30, "{fault:?} {from} {until}");
            }
        }
    }
}
