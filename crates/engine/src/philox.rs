//! Draws by counter: Philox4x32-10, keyed by the rollout's own stream.
//!
//! A draw is a pure function of key and step, so a rollout draws the same whatever is generated next to it, and a device
//! can draw without a host. J. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

use grail_protocol::generation::StreamKey;
use sha2::{Digest, Sha256};

/// Distinguishes this use of SHA-256 from others.
const LABEL: &[u8] = b"grail-engine-stream-v1";

/// The draws of one rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawStream {
    key: [u32; 2],
}

impl DrawStream {
    /// Returns the stream of `key`: its Philox key is the start of a SHA-256 over all fields.
    pub fn new(key: &StreamKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(LABEL);
        hash.update(key.seed.to_be_bytes());
        hash.update(key.window_start.to_be_bytes());
        for field in [key.group, key.rollout, key.attempt] {
            hash.update(field.to_be_bytes());
        }
        let digest = hash.finalize();
        let word = |at: usize| u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
        Self { key: [word(0), word(4)] }
    }

    /// Returns the Philox key, for an engine that draws on a device.
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Returns the draw of step `step`, uniform in 0 ≤ u < 1 with 53 bits: the first two words, high word first.
    pub fn uniform(&self, step: u64) -> f64 {
        let [high, low, ..] = philox4x32_10([step as u32, (step >> 32) as u32, 0, 0], self.key);
        let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

/// Philox4x32 with ten rounds.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (first, second) = (MULTIPLIERS[0] * u64::from(a), MULTIPLIERS[1] * u64::from(c));
        (a, b, c, d) = ((second >> 32) as u32 ^ b ^ k0, second as u32, (first >> 32) as u32 ^ d ^ k1, first as u32);
        (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: StreamKey = StreamKey { seed: 1, window_start: 300, group: 2, rollout: 3, attempt: 0 };

    #[test]
    fn the_published_vectors_hold() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, words) in cases {
            assert_eq!(philox4x32_10(counter, key), words);
        }
    }

    #[test]
    fn every_field_changes_the_stream() {
        let changed = [
            StreamKey { seed: 2, ..KEY },
            StreamKey { window_start: 330, ..KEY },
            StreamKey { group: 3, rollout: 3, ..KEY },
            StreamKey { rollout: 2, ..KEY },
            StreamKey { attempt: 1, ..KEY },
        ];
        for other in &changed {
            assert_ne!(DrawStream::new(&KEY), DrawStream::new(other), "{other:?}");
        }
        assert_eq!(DrawStream::new(&KEY), DrawStream::new(&KEY.clone()));
    }

    #[test]
    fn draws_are_uniform_and_differ_by_step() {
        let stream = DrawStream::new(&KEY);
        let draws: Vec<f64> = (0..10_000).map(|step| stream.uniform(step)).collect();
        assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        let variance = draws.iter().map(|u| (u - mean) * (u - mean)).sum::<f64>() / 10_000.0;
        // Three standard errors of the mean and of the variance of 10,000 uniform draws.
        assert!((mean - 0.5).abs() < 0.009 && (variance - 1.0 / 12.0).abs() < 0.0023, "{mean} {variance}");
        assert_ne!(stream.uniform(1), stream.uniform(1 << 32 | 1));
    }
}
