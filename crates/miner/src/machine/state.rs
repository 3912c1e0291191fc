//! Everything that a machine knows, as data: what it decides by, what a tape keeps, and what two machines are compared by.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Mining;
use super::settings::MachineSettings;
use super::timers::Timers;
use super::timing::Timing;

/// The state of a [`Machine`](super::Machine): all of it except settings, secrets, and counts of rare branches.
///
/// Between two windows it is small.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    pub(super) timing: Timing,
    pub(super) timers: Timers,
    pub(super) mining: Mining,
}

impl Snapshot {
    /// Before the first event.
    pub(super) fn new(settings: &MachineSettings) -> Self {
        Self { timing: Timing::new(settings), timers: Timers::default(), mining: Mining::default() }
    }

    /// sha256 in hex of the serialized state: values in order, without the names of fields.
    pub(super) fn digest(&self) -> String {
        let bytes = rmp_serde::to_vec(self).expect("plain data, written to memory");
        hex::encode(Sha256::digest(bytes))
    }
}
