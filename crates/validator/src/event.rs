//! The inputs of the core, and its outputs.

use grail_miner::ports::{BeaconError, BeaconRound, ChainError, Head, JournalError};
use grail_verify::WindowFacts;

use crate::answers::{JudgeError, Judged, Neuron, ObjectFacts, StoreError, SubmitError, WeightsState};
use crate::memory::JournalRecord;
use crate::receipt::Report;

/// The event.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of the action that is answered")]
pub enum Event {
    /// The process started; these records survived.
    Started(Vec<JournalRecord>),
    /// A new head.
    HeadMoved(Head),
    /// No head came.
    HeadFailed(ChainError),
    /// The subnet's hotkeys.
    MetagraphRead(Result<Vec<Neuron>, ChainError>),
    /// A block's hash; none if the chain does not have the block.
    BlockHashRead { block: u64, result: Result<Option<String>, ChainError> },
    /// A beacon round.
    BeaconAnswered { round: u64, result: Result<BeaconRound, BeaconError> },
    /// Whether a miner's object is there.
    Looked { window_start: u64, hotkey: String, result: Result<Option<ObjectFacts>, StoreError> },
    /// A miner's object; the driver keeps the bytes.
    Fetched { window_start: u64, hotkey: String, result: Result<Option<ObjectFacts>, StoreError> },
    /// The verdict on a miner's file.
    Judged { window_start: u64, hotkey: String, result: Result<Judged, JudgeError> },
    /// Whether a record is durable.
    JournalAnswered { entry: u64, result: Result<(), JournalError> },
    /// Whether weights may be set, and which are.
    WeightsRead(Result<WeightsState, ChainError>),
    /// Outcome of setting weights.
    WeightsAnswered(Result<(), SubmitError>),
    /// A timer fired.
    TimerFired(Timer),
    /// The process is asked to end.
    Shutdown,
}

/// A request to the driver.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants' documentation says what each field is for")]
pub enum Action {
    /// Wait for a head above this one.
    WatchHead { after: u64 },
    /// Use another connection to the chain.
    ReconnectChain,
    /// Read the subnet's hotkeys with their commitments.
    ReadMetagraph,
    /// Read a block's hash.
    ReadBlockHash(u64),
    /// Fetch a beacon round.
    FetchBeacon(u64),
    /// Ask whether a miner's object exists, with its committed key.
    Look { window_start: u64, hotkey: String, committed: Vec<u8>, key: String },
    /// Fetch a miner's object, and keep its bytes until it is judged or discarded.
    Fetch { window_start: u64, hotkey: String, committed: Vec<u8>, key: String },
    /// Judge a file that was fetched.
    Judge(Box<WindowFacts>),
    /// Cancel looks, fetches and judgements, and forget the files that were fetched: their window is over.
    Discard,
    /// Append a record.
    AppendJournal { entry: u64, record: JournalRecord },
    /// Read whether weights may be set, and which are.
    ReadWeights,
    /// Set weights, `(uid, u16)`.
    SetWeights(Vec<(u16, u16)>),
    /// Fire a timer after this many milliseconds.
    SetTimer { timer: Timer, after_ms: u64 },
    /// Tell the operator.
    Report(Report),
    /// The process may end.
    Exit,
}

/// A pause before something is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Watching the head.
    Head,
    /// A read from the chain for a window.
    Facts,
    /// Asking buckets.
    Store,
    /// A read from the chain for weights.
    Weights,
}
