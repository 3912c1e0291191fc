//! The bucket as validators see it against the contract of buckets: while the chain holds our read key, it is like any other.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use grail_live::bucket::{AccessKey, BucketConfig, S3Bucket};
use grail_live::committed::{Committed, CommittedBucket};
use grail_loopback::s3::{BUCKET, READ, S3Server, WRITE, block_on};
use grail_miner::contract;
use grail_miner::ports::{Chain, ChainError, CommitError, Head};

const OURS: &[u8] = b"our read key";

/// A chain that holds our read key and answers nothing else.
struct Holding;

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
        Ok(Some(OURS.to_vec()))
    }

    async fn commit(&self, _: &[u8]) -> Result<(), CommitError> {
        Ok(())
    }

    async fn reconnect(&self) {}
}

#[test]
fn the_contract_holds() {
    let server = S3Server::start();
    let key = |(id, secret): (&str, &str)| AccessKey::new(id, secret);
    let bucket = S3Bucket::new(BucketConfig::s3(server.url(), BUCKET, "us-east-1", key(WRITE), key(READ))).unwrap();
    let (committed, patience) = (Committed::default(), Duration::from_secs(5));
    let bucket = CommittedBucket::new(bucket, Rc::new(Holding), committed, OURS.to_vec(), patience);
    block_on(contract::bucket(&bucket, "grail/windows/5abc-window-30.json.gz"));
}
