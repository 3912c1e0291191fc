//! How long an upload pauses before its next attempt.

use grail_protocol::signature::Hotkey;
use sha2::{Digest, Sha256};

use super::Job;

/// Returns a pause of at most `pause_ms`. It differs between miners, so that miners that failed together do not retry
/// together.
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

#[cfg(test)]
mod tests {
    use super::super::{Choice, Stage};
    use super::*;

    #[test]
    fn the_pause_is_drawn_by_hotkey_start_and_attempt() {
        let job = Job { attempts: 3, ..Job::new(Choice { groups: 1, worth: 0.0 }, Stage::Confirming, 1_000) };
        // sha256 of "grail-upload-pause", 32 bytes of 1, 1,000 and 3 starts with 1645727702 of 2^32 - 1, by Python's hashlib.
        assert_eq!(jittered(4_000, &Hotkey::from_bytes([1; 32]), &job), 1533);
        assert_eq!(jittered(0, &Hotkey::from_bytes([1; 32]), &job), 1, "never at once");
    }
}
