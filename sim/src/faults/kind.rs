//! Every kind of fault: its name, how long it lasts, and what it may cost.

use serde::{Deserialize, Serialize};

/// Time in its window at which a fault starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// A block before the window, when the account is checked.
    Before,
    /// With the window.
    Start,
    /// Anywhere.
    Anywhere,
    /// Half of them with the window, the others anywhere.
    StartOrAnywhere,
    /// A third of them when the first upload is due, a third so that they end with the window, the others anywhere.
    UploadOrAnywhere,
    /// A block before the window ends, so that a long one covers the next window.
    End,
}

/// Cost of a fault beyond its own duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// The miner needs this long to recover, in milliseconds.
    Lasts(u64),
    /// Each window that it touches may be lost.
    SpoilsTheWindow,
}

/// The numbers of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    name: &'static str,
    /// Where in its window it starts.
    pub(crate) placement: Placement,
    /// Shortest and longest duration in milliseconds.
    pub(crate) duration_ms: (u64, u64),
    /// Weakest and strongest.
    pub(crate) strength: (u64, u64),
    /// What it may cost beyond its duration.
    pub(crate) aftermath: Aftermath,
    meaning: &'static str,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $placement:ident $duration:expr, $strength:expr, $aftermath:expr, $meaning:literal;)*) => {
        /// A kind of fault; `meaning` documents each, for readers and for users.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "`meaning` documents each")]
        pub enum FaultKind {
            $(#[serde(rename = $name)] $kind,)*
        }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            pub(crate) const fn traits(self) -> Traits {
                match self {
                    $(Self::$kind => Traits {
                        name: $name,
                        placement: Placement::$placement,
                        duration_ms: $duration,
                        strength: $strength,
                        aftermath: $aftermath,
                        meaning: $meaning,
                    },)*
                }
            }
        }
    };
}

use Aftermath::{Lasts, SpoilsTheWindow};

/// A head that does not come is noticed after four blocks, and a commitment's fate after six.
const CHAIN: Aftermath = Lasts(60_000);
const SOON: Aftermath = Lasts(20_000);

kinds! {
    BeaconOutage "beacon-outage" Start (30_000, 200_000), (1, 1), Lasts(0), "no beacon relay answers";
    UploadErrorBefore "upload-error-before" UploadOrAnywhere (5_000, 200_000), (1, 1), SOON,
        "uploads are answered with 503 before anything is written";
    UploadErrorAfter "upload-error-after" UploadOrAnywhere (5_000, 60_000), (1, 1), SOON,
        "uploads are written, and the answer is lost";
    EndpointSilence "endpoint-silence" StartOrAnywhere (10_000, 90_000), (1, 1), CHAIN,
        "the chain's endpoint takes calls and does not answer";
    Reorganisation "reorganisation" Start (0, 0), (1, 5), Lasts(0),
        "the window's first block is replaced this many blocks later";
    SlowEngine "slow-engine" Anywhere (30_000, 150_000), (2, 10), SOON, "the engine runs at this fraction of its speed";
    HalfDeadSocket "half-dead-socket" StartOrAnywhere (1_000, 1_000), (1, 1), CHAIN,
        "the present connection to the chain never answers again; a new one does";
    ChainRateLimit "chain-rate-limit" StartOrAnywhere (5_000, 60_000), (1, 1), CHAIN,
        "the chain's endpoint limits the rate of calls";
    HashesRefused "hashes-refused" StartOrAnywhere (20_000, 240_000), (1, 1), CHAIN,
        "the chain's endpoint shows new blocks and refuses to tell their hashes";
    FrozenHead "frozen-head" Anywhere (1_000, 1_000), (1, 1), CHAIN,
        "the present connection shows no new block; a new one does";
    LyingEndpoint "lying-endpoint" StartOrAnywhere (5_000, 45_000), (1, 1), CHAIN,
        "answers are malformed, outdated, or of another fork while that is still young";
    StalledChain "stalled-chain" StartOrAnywhere (12_000, 60_000), (1, 1), Lasts(30_000), "slots are missed: no block is made";
    BlockJitter "block-jitter" Anywhere (60_000, 300_000), (2_000, 9_000), Lasts(0),
        "blocks come up to this many milliseconds late";
    RuntimeUpgrade "runtime-upgrade" Anywhere (1_000, 1_000), (1, 1), CHAIN,
        "the runtime is replaced; what the connection knew of it is worthless";
    Deregistration "deregistration" Anywhere (5_000, 120_000), (1, 1), SpoilsTheWindow,
        "the hotkey has no uid, and lost its commitment";
    CommitmentLost "commitment-lost" Anywhere (1_000, 1_000), (1, 1), SpoilsTheWindow,
        "another tool overwrites the commitment on chain";
    DroppedExtrinsic "dropped-extrinsic" Before (5_000, 60_000), (1, 1), SpoilsTheWindow,
        "a commitment is sent, and never included";
    LateExtrinsic "late-extrinsic" Before (5_000, 60_000), (2, 5), SpoilsTheWindow,
        "a commitment's answer is lost, and it is included this many blocks later";
    NonceRace "nonce-race" Before (5_000, 60_000), (1, 1), SpoilsTheWindow,
        "another extrinsic of the hotkey has used the nonce";
    BeaconLate "beacon-late" Start (30_000, 200_000), (1_000, 9_000), Lasts(0),
        "relays answer this many milliseconds late";
    BeaconMissing "beacon-missing" Start (30_000, 200_000), (1, 1), Lasts(0), "relays answer, and do not have the round";
    BeaconWrongRound "beacon-wrong-round" Start (30_000, 200_000), (1, 9), Lasts(0),
        "relays answer with the round this many before";
    BeaconWrongSignature "beacon-wrong-signature" Start (30_000, 200_000), (1, 1), Lasts(0),
        "rounds are signed with a key that is not the network's";
    BeaconDisagreement "beacon-disagreement" Start (30_000, 200_000), (1, 2), Lasts(0),
        "this many of the three relays lie";
    BeaconCatchUp "beacon-catch-up" Start (30_000, 200_000), (1, 40), Lasts(0),
        "after an outage the relays are still this many rounds behind";
    PartialUpload "partial-upload" UploadOrAnywhere (5_000, 200_000), (1, 1), SOON,
        "the connection breaks between two parts of an upload; nothing becomes visible";
    BucketRateLimit "bucket-rate-limit" UploadOrAnywhere (5_000, 200_000), (1, 1), SOON,
        "the bucket answers every request with 429";
    SlowBucket "slow-bucket" UploadOrAnywhere (10_000, 90_000), (1_000, 20_000), Lasts(40_000),
        "every request to the bucket takes this many milliseconds longer";
    ReadLag "read-lag" UploadOrAnywhere (20_000, 120_000), (1_000, 8_000), SOON,
        "reads show a write only this many milliseconds later";
    ReadError "read-error" UploadOrAnywhere (5_000, 200_000), (1, 1), SOON, "reads from the bucket break off";
    ReadCorruption "read-corruption" UploadOrAnywhere (2_000, 30_000), (1, 1), SOON, "bytes are altered on their way from the bucket";
    ExpiredWriteKey "expired-write-key" UploadOrAnywhere (5_000, 60_000), (1, 1), SpoilsTheWindow,
        "the bucket refuses the write key as expired";
    ExpiredReadKey "expired-read-key" UploadOrAnywhere (5_000, 60_000), (1, 1), SpoilsTheWindow,
        "the bucket refuses the read key as expired";
    ClockSkewRefusal "clock-skew-refusal" UploadOrAnywhere (5_000, 60_000), (960, 7_200), SpoilsTheWindow,
        "the wall clock is this many seconds off, and the bucket refuses every request";
    ClockStep "clock-step" StartOrAnywhere (20_000, 300_000), (1, 600), Lasts(0),
        "the wall clock is set back by this many seconds, and forth again";
    ClockDrift "clock-drift" Anywhere (60_000, 300_000), (1, 50), Lasts(0),
        "the wall clock gains this many milliseconds each second";
    Suspend "suspend" Anywhere (2_000, 90_000), (1, 1), CHAIN, "the node stops; its monotonic clock too";
    Crash "crash" Anywhere (1_000, 60_000), (1, 1), Lasts(30_000),
        "the miner is killed, and started again; what was not synced may vanish or tear";
    DiskFull "disk-full" Anywhere (10_000, 120_000), (1, 1), Lasts(0), "nothing can be journaled";
    SlowDisk "slow-disk" Anywhere (10_000, 120_000), (500, 11_000), Lasts(40_000), "syncing takes this many milliseconds";
    StalledEngine "stalled-engine" StartOrAnywhere (1_000, 10_000), (1, 1), Lasts(160_000),
        "requests that start now are never answered";
    EngineOutOfMemory "engine-out-of-memory" Anywhere (5_000, 60_000), (1, 1), SOON, "the engine has no memory for a request";
    BadGroup "bad-group" Anywhere (10_000, 90_000), (1, 1), SOON, "groups come with a rollout too few, or cut short";
    NanHidden "nan-hidden" Anywhere (10_000, 90_000), (1, 1), SOON, "hidden states are not numbers";
    ImprobableEos "improbable-eos" Anywhere (10_000, 90_000), (1, 1), SOON, "every completion ends with an improbable token";
    FalseHead "false-head" StartOrAnywhere (1_000, 1_000), (25, 1_000_000), CHAIN,
        "one head is announced that is this many blocks too high";
    InventedHead "invented-head" StartOrAnywhere (1_000, 1_000), (25, 400), SpoilsTheWindow,
        "one head is announced that is this many blocks too high, and a hash is made up for it";
    EndpointBehind "endpoint-behind" StartOrAnywhere (1_000, 1_000), (25, 50_000), CHAIN,
        "the present connection shows the chain as it was this many blocks ago; a new one does not";
    ChainOutage "chain-outage" End (380_000, 460_000), (1, 1), CHAIN,
        "no endpoint answers for longer than the next window";
    WebPage "web-page" UploadOrAnywhere (5_000, 200_000), (1, 1), SOON,
        "a web page answers every request to the bucket in the store's place";
    NoConditions "no-conditions" UploadOrAnywhere (5_000, 60_000), (1, 1), SpoilsTheWindow,
        "the bucket refuses uploads that depend on a condition, as a store without conditional writes does";
    WrongAddress "wrong-address" UploadOrAnywhere (5_000, 60_000), (1, 1), Lasts(60_000),
        "uploads go to an address that takes them, and validators read from another one";
}

impl FaultKind {
    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// Returns what it does.
    pub const fn meaning(self) -> &'static str {
        self.traits().meaning
    }
}
