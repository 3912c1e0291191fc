//! The inputs of the core, and its outputs.

use grail_miner::line::{line, variant_line};
use grail_miner::ports::{BeaconError, BeaconRound, ChainError, Head, JournalError};
use grail_verify::WindowFacts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::answers::{JudgeError, Judged, Neuron, ObjectFacts, StoreError, SubmitError, WeightsState};
use crate::memory::JournalRecord;
use crate::receipt::Report;

/// The event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
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

impl Event {
    /// Returns the kind of the event, as one word.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns one line: the event's name and its fields as JSON, with counts instead of long lists.
    pub fn summary(&self) -> String {
        match self {
            Self::Started(records) => line("Started", &json!({ "records": records.len() })),
            Self::MetagraphRead(Ok(neurons)) => {
                let committed = neurons.iter().filter(|neuron| neuron.committed.is_some()).count();
                line("MetagraphRead", &json!({ "committed": committed, "hotkeys": neurons.len() }))
            }
            other => variant_line(other),
        }
    }
}

/// A request to the driver.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

impl Action {
    /// Returns one line that identifies this action: its name and its fields as JSON, with digests of read keys.
    pub fn summary(&self) -> String {
        let of_bucket = |name: &str, window_start: &u64, hotkey: &str, committed: &[u8], key: &str| {
            let sha256 = hex::encode(Sha256::digest(committed));
            let fields = json!({ "hotkey": hotkey, "key": key, "sha256": sha256, "window_start": window_start });
            line(name, &fields)
        };
        match self {
            Self::Look { window_start, hotkey, committed, key } => {
                of_bucket("Look", window_start, hotkey, committed, key)
            }
            Self::Fetch { window_start, hotkey, committed, key } => {
                of_bucket("Fetch", window_start, hotkey, committed, key)
            }
            other => variant_line(other),
        }
    }
}

/// A pause before something is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
