//! The chain's commitment of our hotkey. Validators read the bucket with it alone, so without it no object counts as
//! readable.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use grail_miner::ports::{Bucket, BucketError, Chain, Etag, PutCondition};
use tokio::time::timeout;

/// The commitment as it was last read; clones share it.
#[derive(Clone, Default)]
pub struct Committed(Rc<RefCell<Reading>>);

#[derive(Clone, Default, PartialEq)]
enum Reading {
    #[default]
    None,
    Absent,
    Bytes(Vec<u8>),
}

/// The bucket as validators see it: an object can be read only while the chain holds our read key.
pub struct CommittedBucket<B> {
    bucket: B,
    chain: Rc<dyn Chain>,
    committed: Committed,
    ours: Vec<u8>,
    /// How long the chain may take; after that the last answer holds.
    patience: Duration,
}

impl Committed {
    /// Records the chain's commitment.
    pub fn note(&self, bytes: Option<&[u8]>) {
        *self.0.borrow_mut() = bytes.map_or(Reading::Absent, |bytes| Reading::Bytes(bytes.to_vec()));
    }

    /// Returns why no validator can read with `ours`; none if the chain holds exactly that.
    fn hindrance(&self, ours: &[u8]) -> Option<&'static str> {
        match &*self.0.borrow() {
            Reading::None => Some("what the chain holds for validators to read with is not known yet"),
            Reading::Absent => Some("the chain holds no read key of this hotkey, so no validator can read the bucket"),
            Reading::Bytes(bytes) if bytes == ours => None,
            Reading::Bytes(_) => Some("the chain holds another read key than ours, so validators read another bucket"),
        }
    }
}

impl<B> CommittedBucket<B> {
    /// Returns the bucket whose read key is committed as `ours`. Before each object it reads the chain's commitment,
    /// for at most `patience`, and takes the last known one if the chain does not answer.
    pub fn new(bucket: B, chain: Rc<dyn Chain>, committed: Committed, ours: Vec<u8>, patience: Duration) -> Self {
        Self { bucket, chain, committed, ours, patience }
    }
}

#[async_trait(?Send)]
impl<B: Bucket> Bucket for CommittedBucket<B> {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError> {
        self.bucket.put(key, bytes, condition, limit_ms).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        if let Ok(Ok(found)) = timeout(self.patience, self.chain.commitment()).await {
            self.committed.note(found.as_deref());
        }
        match self.committed.hindrance(&self.ours) {
            Some(why) => Err(BucketError::Transient(why.to_owned())),
            None => self.bucket.get(key).await,
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.bucket.delete(key).await
    }
}

#[cfg(test)]
mod tests {
    use grail_contract as contract;
    use grail_loopback::s3::{BUCKET, READ, S3Server, WRITE};
    use grail_miner::ports::{ChainError, CommitError, Head};

    use super::*;
    use crate::bucket::{AccessKey, BucketConfig, S3Bucket};

    /// A chain that holds this, or does not answer.
    #[derive(Clone, Default)]
    struct Holding(Rc<RefCell<Option<Option<Vec<u8>>>>>);

    #[async_trait(?Send)]
    impl Chain for Holding {
        async fn next_head(&self, _: u64) -> Result<Head, ChainError> {
            Err(ChainError::RateLimited)
        }

        async fn block_hash(&self, _: u64) -> Result<Option<String>, ChainError> {
            Err(ChainError::RateLimited)
        }

        async fn registration(&self) -> Result<Option<u16>, ChainError> {
            Err(ChainError::RateLimited)
        }

        async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
            let held = self.0.borrow().clone();
            match held {
                Some(bytes) => Ok(bytes),
                None => std::future::pending().await,
            }
        }

        async fn commit(&self, _: &[u8]) -> Result<(), CommitError> {
            Ok(())
        }

        async fn reconnect(&self) {}
    }

    /// A bucket that has every object.
    struct Full;

    #[async_trait(?Send)]
    impl Bucket for Full {
        async fn put(&self, _: &str, _: &[u8], _: &PutCondition, _: u64) -> Result<Etag, BucketError> {
            Ok(Etag("1".to_owned()))
        }

        async fn get(&self, _: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
            Ok(Some((b"object".to_vec(), Etag("1".to_owned()))))
        }

        async fn delete(&self, _: &str) -> Result<(), BucketError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn while_the_chain_holds_our_key_the_contract_of_buckets_holds() {
        let server = S3Server::start();
        let key = |(id, secret): (&str, &str)| AccessKey::new(id, secret);
        let bucket = BucketConfig::s3(server.url(), BUCKET, "us-east-1", key(WRITE), key(READ));
        let (chain, patience) = (Holding(Rc::new(RefCell::new(Some(Some(b"ours".to_vec()))))), Duration::from_secs(5));
        let bucket = S3Bucket::new(bucket).unwrap();
        let bucket = CommittedBucket::new(bucket, Rc::new(chain), Committed::default(), b"ours".to_vec(), patience);
        contract::bucket(&bucket, "grail/windows/5abc-window-30.json.gz").await;
    }

    #[tokio::test]
    async fn an_object_is_readable_only_with_what_the_chain_holds_now() {
        let (chain, committed) = (Holding::default(), Committed::default());
        let patience = Duration::from_millis(50);
        let bucket = CommittedBucket::new(Full, Rc::new(chain.clone()), committed.clone(), b"ours".to_vec(), patience);
        let why = async || match bucket.get("key").await {
            Err(BucketError::Transient(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(why().await.contains("not known yet"), "the chain has never answered");
        for (held, expected) in [(None, "no read key"), (Some(b"another".to_vec()), "another read key")] {
            *chain.0.borrow_mut() = Some(held);
            assert!(why().await.contains(expected));
        }
        *chain.0.borrow_mut() = Some(Some(b"ours".to_vec()));
        assert!(bucket.get("key").await.unwrap().is_some());
        *chain.0.borrow_mut() = None;
        assert!(bucket.get("key").await.unwrap().is_some(), "a chain that is silent changes nothing");
        committed.note(None);
        assert!(why().await.contains("no read key"), "somebody else read it meanwhile");
    }
}
