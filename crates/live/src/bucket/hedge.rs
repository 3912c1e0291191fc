//! One `put` in at most two attempts, both under the same condition, within the remaining time.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use grail_miner::ports::{BucketError, Etag};
use object_store::{Attribute, GetOptions, ObjectStore};
use tokio::time::timeout;

use super::failure::{self, Operation};
use super::transport::NoVersion;
use super::{DIGEST_NAME, S3Bucket, Write, Writer};

/// Share of the time after which a second attempt starts if the first has no answer: late enough not to slow down a
/// slow line, early enough for the second attempt to finish.
const HEDGE_DIVISOR: u32 = 3;

impl S3Bucket {
    /// Writes an object. If the first attempt broke or stays silent, a read shows whether it took place, and it is only
    /// sent again if it did not, with a new signature and over a new connection. The first answer decides. The
    /// condition ensures that the object is written once.
    pub(super) async fn put_hedged(&self, write: &Write<'_>, limit: Duration) -> Result<Etag, BucketError> {
        let late = || Err(BucketError::Unknown(format!("no answer within {} ms", limit.as_millis())));
        timeout(limit, self.attempts(write, limit)).await.unwrap_or_else(|_| late())
    }

    async fn attempts(&self, write: &Write<'_>, limit: Duration) -> Result<Etag, BucketError> {
        let mut first = pin!(self.attempt(&self.writer, write));
        match timeout(limit / HEDGE_DIVISOR, &mut first).await {
            Ok(Err(BucketError::Unknown(why))) => self.second_attempt(write, why).await,
            Ok(decided) => decided,
            Err(_) => {
                let second = pin!(self.second_attempt(write, "the first attempt has no answer".to_owned()));
                match select(first, second).await {
                    // A failed attempt may have seen the other attempt's object; only the other's answer shows that.
                    Either::Left((Err(_), second)) => second.await,
                    Either::Right((Err(BucketError::Unknown(_) | BucketError::Transient(_)), first)) => {
                        self.resolved(write, first.await).await
                    }
                    Either::Left((decided, _)) | Either::Right((decided, _)) => decided,
                }
            }
        }
    }

    /// Sends it again unless a read finds it; `why` says why its outcome is unknown.
    async fn second_attempt(&self, write: &Write<'_>, why: String) -> Result<Etag, BucketError> {
        match self.landed(write).await {
            Ok(Some(tag)) => Ok(tag),
            Ok(None) => self.resolved(write, self.attempt(&self.second_writer, write).await).await,
            Err(error) => Err(BucketError::Unknown(format!("{why}, and a look at the object failed: {error}"))),
        }
    }

    /// Our other attempt may have caused the refused condition.
    async fn resolved(&self, write: &Write<'_>, result: Result<Etag, BucketError>) -> Result<Etag, BucketError> {
        match result {
            Err(BucketError::ConditionFailed) => match self.landed(write).await {
                Ok(Some(tag)) => Ok(tag),
                Ok(None) => Err(BucketError::ConditionFailed),
                Err(error) => Err(BucketError::Unknown(error.to_string())),
            },
            decided => decided,
        }
    }

    async fn attempt(&self, writer: &Writer, write: &Write<'_>) -> Result<Etag, BucketError> {
        match write.bytes.len() > self.config.part_bytes {
            true => self.put_in_parts(writer, write).await,
            false => self.put_whole(writer, write).await,
        }
    }

    /// Returns the version of the object if it is ours, by length and digest.
    async fn landed(&self, write: &Write<'_>) -> Result<Option<Etag>, BucketError> {
        let look = GetOptions { head: true, ..GetOptions::default() };
        let object = match self.second_writer.store.get_opts(&write.path, look).await {
            Ok(object) => object,
            Err(error) if failure::may_be_missing(&error) => return Ok(None),
            Err(error) => return Err(self.failures.classify(Operation::Get, &error)),
        };
        let digest = object.attributes.get(&Attribute::Metadata(DIGEST_NAME.into()));
        let is_ours = object.meta.size == write.bytes.len() as u64
            && digest.is_some_and(|digest| digest.as_ref() == write.digest.as_str());
        match object.meta.e_tag {
            _ if !is_ours => Ok(None),
            Some(tag) => Ok(Some(Etag(tag))),
            None => Err(BucketError::Transient(NoVersion.to_string())),
        }
    }
}
