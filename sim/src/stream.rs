//! Named random streams: a new draw in one place moves nothing elsewhere.

use sha2::{Digest, Sha256};

/// A stream of its own for one purpose and scope, by SplitMix64.
#[derive(Debug, Clone)]
pub struct Stream(u64);

impl Stream {
    /// Returns the stream of `purpose` and `scope` under `seed`.
    pub fn new(seed: u64, purpose: &str, scope: impl std::fmt::Display) -> Self {
        let digest: [u8; 32] = Sha256::digest(format!("{seed}/{purpose}/{scope}")).into();
        Self(u64::from_be_bytes(*digest.first_chunk().expect("a digest is longer")))
    }

    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number below `limit`, which must not be 0; the bias is below 2⁻³².
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `out_of` times.
    pub fn one_in(&mut self, out_of: u64) -> bool {
        self.below(out_of) == 0
    }
}

/// SplitMix64's finaliser.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_scope() {
        let first = |seed, purpose: &str, scope: u64| Stream::new(seed, purpose, scope).bits();
        let all = [first(1, "a", 1), first(2, "a", 1), first(1, "b", 1), first(1, "a", 2)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(first(1, "a", 1), first(1, "a", 1));
    }

    #[test]
    fn draws_stay_in_range_and_reach_its_ends() {
        let mut stream = Stream::new(0, "range", 0);
        let draws: Vec<u64> = (0..2000).map(|_| stream.between(3, 7)).collect();
        assert!((3..=7).all(|value| draws.contains(&value)));
        assert!(draws.iter().all(|value| (3..=7).contains(value)));
    }
}
