//! Answers of the ports, as plain data.

pub use grail_verify::{JudgeError, Judged};
use serde::{Deserialize, Serialize};

/// A hotkey of the subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neuron {
    /// Its uid.
    pub uid: u16,
    /// Its address.
    pub hotkey: String,
    /// The bytes that it has committed, if any.
    pub committed: Option<Vec<u8>>,
}

/// Conditions for setting weights, and the present weights.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WeightsState {
    /// The uid of our hotkey, if it is registered.
    pub uid: Option<u16>,
    /// The block in which our uid last set weights, or was registered.
    pub last_update: u64,
    /// Fewest blocks between two times that a uid sets weights.
    pub rate_limit: u64,
    /// Whether the subnet only takes weights that are revealed later.
    pub commit_reveal: bool,
    /// The weights that our uid has set, `(uid, u16)`.
    pub weights: Vec<(u16, u16)>,
}

/// Why weights were not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SubmitError {
    /// The chain refused them; nothing was changed.
    #[error("the chain refused the weights: {0}")]
    Refused(String),
    /// Sent, with unknown outcome.
    #[error("the outcome of setting weights is unknown ({0}); read the weights from the chain")]
    Unknown(String),
}

/// An object in a miner's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written by the store's clock, in milliseconds since 1970, if the store says so.
    pub modified_ms: Option<u64>,
}

/// Why an object was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StoreError {
    /// No answer, or one that says to try again.
    #[error("the bucket does not answer ({0}); try again")]
    Transient(String),
    /// Trying again cannot help.
    #[error("the bucket refuses: {0}")]
    Refused(String),
}
