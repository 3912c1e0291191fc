//! The guard: an object in the bucket that says which installation mines with a hotkey, renewed while it does.

use std::rc::Rc;

use grail_miner::ports::{Bucket, BucketError, Clock, Etag, PutCondition};
use serde::{Deserialize, Serialize};

use super::lock::{InstanceId, is_id};

/// After this many blocks without renewal, a holder counts as stopped.
const STALE_BLOCKS: u64 = 30;
/// How long one write may take.
const WRITE_MS: u64 = 20_000;
/// Blocks between two renewals.
const RENEWAL_BLOCKS: u64 = 10;
/// Blocks for which a holder is watched: a running one renews the guard in this time, whatever its clock says.
const WATCH_BLOCKS: u64 = 2 * RENEWAL_BLOCKS;

/// The guard of one hotkey.
pub struct BucketGuard {
    bucket: Rc<dyn Bucket>,
    clock: Rc<dyn Clock>,
    key: String,
    instance: InstanceId,
    block_ms: u64,
}

/// Another installation has taken over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another installation (instance {instance}) has taken over mining with this hotkey; stop one of the two: each window \
     counts for one of them only"
)]
pub struct Lost {
    instance: String,
}

/// Why the guard was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Another installation renewed it a short while ago.
    #[error(
        "another installation (instance {instance}) mined with this hotkey {seconds} s ago; stop that one, or, if it is \
         gone permanently, start this one with --take-over"
    )]
    Taken {
        /// Its name.
        instance: String,
        /// Seconds since it last renewed the guard.
        seconds: u64,
    },
    /// Unknown, because the bucket does not answer.
    #[error("cannot find out whether another machine mines with this hotkey: {0}")]
    Unknown(#[from] BucketError),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    instance: String,
    seen_ms: u64,
}

impl BucketGuard {
    /// Returns the guard of the hotkey with this address.
    pub fn new(
        bucket: Rc<dyn Bucket>,
        clock: Rc<dyn Clock>,
        address: &str,
        instance: InstanceId,
        block_ms: u64,
    ) -> Self {
        Self { bucket, clock, key: format!("grail/instances/{address}.json"), instance, block_ms }
    }

    /// Takes the guard, unless another installation holds it; with `take_over` it takes it anyway.
    ///
    /// # Errors
    /// [`GuardError`]; after [`GuardError::Unknown`] the guard may be taken later, by [`Self::keep`].
    pub async fn take(&self, take_over: bool) -> Result<(), GuardError> {
        let condition = match self.bucket.get(&self.key).await? {
            None => PutCondition::Absent,
            Some((bytes, etag)) => match self.other(&bytes).filter(|_| !take_over) {
                Some(taken) => return Err(taken),
                None => PutCondition::Matches(etag),
            },
        };
        match self.write(&condition).await {
            Ok(_) => Ok(()),
            // Another writer was faster; the present object shows whether that was us.
            Err(BucketError::ConditionFailed | BucketError::Unknown(_)) => self.look().await,
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Self::take`], but watches another holder first, and takes the guard if that does not renew it: it was killed.
    /// `watching` gets the holder and the most seconds that this takes.
    ///
    /// # Errors
    /// [`GuardError`]; [`GuardError::Taken`] only if the holder renewed the guard meanwhile.
    pub async fn begin(&self, take_over: bool, watching: impl FnOnce(&GuardError, u64)) -> Result<(), GuardError> {
        match self.take(take_over).await {
            Err(taken @ GuardError::Taken { .. }) => watching(&taken, WATCH_BLOCKS * self.block_ms / 1000),
            other => return other,
        }
        // What the first answer named; a bucket that does not answer now proves nothing about the holder.
        let mut before = None;
        for _ in 0..WATCH_BLOCKS {
            self.clock.sleep_until(self.clock.now().monotonic_ms + self.block_ms).await;
            match (self.take(false).await, self.holder().await) {
                (Err(GuardError::Unknown(_)), _) | (_, Err(_)) => {}
                (Err(GuardError::Taken { .. }), Ok(holder)) if before.is_none() || holder == before => before = holder,
                (taken, _) => return taken,
            }
        }
        self.take(true).await
    }

    /// Renews the guard until another installation has taken it over. It retries while the bucket fails.
    pub async fn keep(&self) -> Lost {
        loop {
            let at_ms = self.clock.now().monotonic_ms + RENEWAL_BLOCKS * self.block_ms;
            self.clock.sleep_until(at_ms).await;
            if let Err(GuardError::Taken { instance, .. }) = self.take(false).await {
                return Lost { instance };
            }
        }
    }

    /// Releases the guard, so that another machine can start at once.
    pub async fn release(&self) {
        let Ok(Some((bytes, _))) = self.bucket.get(&self.key).await else { return };
        if self.other(&bytes).is_none() {
            // A guard that is left behind expires by itself.
            let _ = self.bucket.delete(&self.key).await;
        }
    }

    async fn look(&self) -> Result<(), GuardError> {
        let found = self.bucket.get(&self.key).await?;
        found.and_then(|(bytes, _)| self.other(&bytes)).map_or(Ok(()), Err)
    }

    /// Returns the holder that the guard names, if any.
    async fn holder(&self) -> Result<Option<Holder>, BucketError> {
        let found = self.bucket.get(&self.key).await?;
        Ok(found.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok()))
    }

    async fn write(&self, condition: &PutCondition) -> Result<Etag, BucketError> {
        let holder = Holder { instance: self.instance.to_string(), seen_ms: self.clock.now().wall_ms };
        let bytes = serde_json::to_vec(&holder).expect("a holder is plain data");
        self.bucket.put(&self.key, &bytes, condition, WRITE_MS).await
    }

    /// Returns that another installation holds the guard, if these bytes name one that has not expired. Content that is
    /// no guard has no owner, and neither has a guard with an impossible name.
    fn other(&self, bytes: &[u8]) -> Option<GuardError> {
        let Holder { instance, seen_ms } = serde_json::from_slice(bytes).ok()?;
        let is_other = is_id(&instance) && instance != self.instance.to_string();
        let age_ms = self.clock.now().wall_ms.saturating_sub(seen_ms);
        let is_held = is_other && age_ms < STALE_BLOCKS * self.block_ms;
        is_held.then_some(GuardError::Taken { instance, seconds: age_ms / 1000 })
    }
}
