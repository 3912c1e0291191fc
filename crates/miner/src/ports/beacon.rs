//! The randomness beacon.

use async_trait::async_trait;

/// When rounds are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeaconSchedule {
    /// Seconds since 1970 at which round 1 was due.
    pub genesis_s: u64,
    /// Seconds between rounds.
    pub period_s: u64,
}

/// One verified round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeaconRound {
    /// Its number.
    pub round: u64,
    /// 64 hex digits: sha256 of the round's signature.
    pub randomness: String,
}

/// Verified rounds.
///
/// # Contract
/// A round that is returned carries the number asked for, its signature verifies under the beacon's public key, and its
/// randomness is the sha256 of that signature. A round that is not due yet is an error, not a wait.
#[async_trait(?Send)]
pub trait Beacon {
    /// The round of this number.
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError>;
}

/// Why there is no round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// No relay answered.
    #[error("no beacon relay answers ({0}); the block hash serves as randomness instead")]
    Unreachable(String),
    /// Relays answered, but not with a valid round.
    #[error("the beacon's answer does not verify ({0}); the block hash serves as randomness instead")]
    Invalid(String),
}

impl BeaconSchedule {
    /// drand's quicknet.
    pub const QUICKNET: Self = Self { genesis_s: 1_692_803_367, period_s: 3 };

    /// The newest round that is due at a wall time; 0 before the first.
    pub const fn round_at(&self, wall_ms: u64) -> u64 {
        match (wall_ms / 1000).checked_sub(self.genesis_s) {
            Some(since) => since / self.period_s + 1,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_is_due_at_genesis() {
        let schedule = BeaconSchedule::QUICKNET;
        assert_eq!(schedule.round_at(0), 0);
        assert_eq!(schedule.round_at(schedule.genesis_s * 1000), 1);
        assert_eq!(schedule.round_at(schedule.genesis_s * 1000 + 2_999), 1);
        assert_eq!(schedule.round_at(schedule.genesis_s * 1000 + 3_000), 2);
    }
}
