//! Control of a running miner or validator: a socket in its data folder for status and stop requests, which only its owner may use.
//!
//! A request is a JSON object on a line, and so is its answer. The process's event loop only ever writes to memory; slow
//! clients wait for the socket's own thread.

mod board;
mod client;
mod socket;
mod status;

use std::path::{Path, PathBuf};

use grail_protocol::signature::Hotkey;
use serde::{Deserialize, Serialize};

pub use self::board::{Board, Identity};
pub use self::client::{Asking, ControlError};
pub use self::socket::{Control, SocketError};
pub use self::status::{
    EndpointStatus, GpuStatus, HeadStatus, HealthStatus, JudgedMiner, JudgedWindow, JudgingStatus, ProcessStatus, Rank,
    Speeds, Stopping, TroubleStatus, UploadStatus, WeightsStatus, WindowStatus,
};

const PREFIX: &str = "control-";
const ENDING: &str = ".sock";
/// Characters of the address in a socket's name, because the system limits a socket's path.
const HOTKEY_CHARS: usize = 12;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Asks for the status.
    Status,
    /// Upload the clean groups, then stop.
    Stop,
    /// Continue to the end of the window, then stop after its upload.
    StopAfterWindow,
}

/// A process that the socket's thread asks.
pub trait Answers: Send + Sync + 'static {
    /// Returns the status now.
    fn status(&self) -> ProcessStatus;
    /// Returns how the process stops if it is asked now, at once or after the window.
    fn would_stop(&self, after_window: bool) -> Stopping;
    /// Asks the process to stop so.
    fn stop(&self, stopping: Stopping);
}

/// Returns where the validator of a hotkey listens.
pub fn validator_socket_path(data_folder: &Path, hotkey: Hotkey) -> PathBuf {
    socket_path(data_folder, hotkey).with_extension("validator.sock")
}

/// Returns where the miner of a hotkey listens.
pub fn socket_path(data_folder: &Path, hotkey: Hotkey) -> PathBuf {
    let address = hotkey.to_ss58();
    data_folder.join(format!("{PREFIX}{}{ENDING}", &address[..HOTKEY_CHARS]))
}
