//! One `put` in at most two attempts, both under the same condition, within the time that is left.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use grail_miner::ports::{BucketError, Etag};
use object_store::{Attribute, GetOptions, ObjectStore};
use tokio::time::timeout;

use super::failure::{self, Operation};
use super::transport::NoVersion;
use super::{DIGEST_NAME, S3Bucket, Write, Writer};

/// The part of the time after which a first attempt without an answer is joined by a second one: late enough that a slow
/// line is not slowed down further, early enough that the second one may still come through.
const HEDGE_DIVISOR: u32 = 3;

impl S3Bucket {
    /// Writes an object. Where the first attempt broke or stays silent, a look tells whether it took place, and only if
    /// it did not is it sent again, signed again and over a new connection; whichever attempt is answered first decides.
    /// The condition sees to it that the object is written once.
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
                    // Having failed, the one may have seen the other's object, which only the other's answer tells.
                    Either::Left((Err(_), second)) => second.await,
                    Either::Right((Err(BucketError::Unknown(_) | BucketError::Transient(_)), first)) => {
                        self.resolved(write, first.await).await
                    }
                    Either::Left((decided, _)) | Either::Right((decided, _)) => decided,
                }
            }
        }
    }

    /// Sends it again unless a look shows that it is there; `why` its fate is not known.
    async fn second_attempt(&self, write: &Write<'_>, why: String) -> Result<Etag, BucketError> {
        match self.landed(write).await {
            Ok(Some(tag)) => Ok(tag),
            Ok(None) => self.resolved(write, self.attempt(&self.second_writer, write).await).await,
            Err(error) => Err(BucketError::Unknown(format!("{why}, and a look at the object failed: {error}"))),
        }
    }

    /// A refused condition may be our own doing: the other attempt came first.
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

    /// Returns the version of the object if it is what we write, by length and digest.
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
