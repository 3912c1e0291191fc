//! How long an upload pauses before its next attempt.

use grail_protocol::signature::Hotkey;
use sha2::{Digest, Sha256};

use super::Job;

/// Anything up to `pause_ms`, so that miners that fail together do not come back together.
pub(super) fn jittered(pause_ms: u64, hotkey: &Hotkey, job: &Job) -> u64 {
    // A hash instead of a random number: the machine draws none, so a replay pauses equally long.
    let drawn = Sha256::new()
        .chain_update("grail-upload-pause")
        .chain_update(hotkey.bytes())
        .chain_update(job.began_ms.to_be_bytes())
        .chain_update(job.attempts.to_be_bytes());
    let digest: [u8; 32] = drawn.finalize().into();
    let draw = u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
    1 + pause_ms * draw / u64::from(u32::MAX)
}
