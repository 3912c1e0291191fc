//! The randomness beacon.

use async_trait::async_trait;

use crate::answers::{BeaconError, BeaconRound};

/// Verified rounds.
///
/// # Contract
/// A round that is returned carries the number asked for, its signature verifies under the beacon's public key, and its
/// randomness is the sha256 of that signature. A round that is not due yet is an error, not a wait.
#[async_trait(?Send)]
pub trait Beacon {
    /// Returns the round of this number.
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError>;
}
