//! Miners' buckets, each read with its miner's committed key.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use grail_http::{Connector, HttpClientError, http_client};
use grail_protocol::read_credentials::{PUBLIC_REGION, ReadCredentials};
use grail_validator::ports::{ObjectFacts, Store, StoreError};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, RetryConfig};
use reqwest::Client;

/// Most bytes of a miner's packed file; the unpacked content has its own limit.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Which server holds the buckets.
#[derive(Debug, Clone)]
pub enum ReadFrom {
    /// Cloudflare R2: each account has its own host.
    R2,
    /// One server for all of them.
    Server {
        /// Its address.
        endpoint: String,
        /// The region that requests are signed for.
        region: String,
    },
}

/// Every miner's bucket. It never retries: the core decides that.
pub struct MinersBuckets {
    from: ReadFrom,
    client: Client,
    bytes_max: u64,
}

impl MinersBuckets {
    /// Buckets of these servers; a request that takes longer than `request_ms` has failed.
    ///
    /// # Errors
    /// [`HttpClientError`] if the system's certificates or proxies cannot be used.
    pub fn new(from: ReadFrom, request_ms: u64) -> Result<Self, HttpClientError> {
        Ok(Self { from, client: http_client(request_ms, request_ms)?, bytes_max: FILE_BYTES_MAX })
    }

    /// Returns the same, with another limit on a file's size in bytes.
    pub fn with_limit(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    fn facts(&self, meta: &ObjectMeta) -> Result<ObjectFacts, StoreError> {
        self.check_size(meta.size)?;
        let modified_ms = u64::try_from(meta.last_modified.timestamp_millis()).ok();
        Ok(ObjectFacts { bytes: meta.size, modified_ms })
    }

    fn check_size(&self, bytes: u64) -> Result<(), StoreError> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        Err(StoreError::Refused(format!("the file has more than {} bytes", self.bytes_max)))
    }

    /// Returns the bucket that a commitment opens.
    fn bucket(&self, committed: &[u8]) -> Result<AmazonS3, StoreError> {
        let refused = |why: String| StoreError::Refused(why);
        let credentials =
            ReadCredentials::parse(committed).ok_or_else(|| refused("the commitment is not a read key".to_owned()))?;
        let (endpoint, region) = match &self.from {
            ReadFrom::R2 => (credentials.public_endpoint(), PUBLIC_REGION.to_owned()),
            ReadFrom::Server { endpoint, region } => (endpoint.clone(), region.clone()),
        };
        let builder = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_bucket_name(credentials.account_id)
            .with_region(region)
            .with_access_key_id(credentials.access_key_id)
            .with_secret_access_key(credentials.secret_access_key)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector(self.client.clone()));
        builder.build().map_err(|error| refused(error.to_string()))
    }
}

#[async_trait(?Send)]
impl Store for MinersBuckets {
    async fn look(&self, committed: &[u8], key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let bucket = self.bucket(committed)?;
        // A silent server delays no other miner, because the driver bounds the call.
        there(bucket.head(&Path::from(key)).await)?.map(|meta| self.facts(&meta)).transpose()
    }

    async fn fetch(&self, committed: &[u8], key: &str) -> Result<Option<(ObjectFacts, Vec<u8>)>, StoreError> {
        let bucket = self.bucket(committed)?;
        let Some(found) = there(bucket.get(&Path::from(key)).await)? else { return Ok(None) };
        let facts = self.facts(&found.meta)?;
        let mut bytes = BytesMut::new();
        let mut parts = found.into_stream();
        while let Some(part) = parts.next().await {
            let part: Bytes = part.map_err(|error| StoreError::Transient(error.to_string()))?;
            bytes.extend_from_slice(&part);
            // The server may send more than it announced.
            self.check_size(bytes.len() as u64)?;
        }
        Ok(Some((facts, bytes.to_vec())))
    }
}

/// Returns the store's answer; none if there is no such object.
fn there<T>(answer: object_store::Result<T>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error @ (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })) => {
            Err(StoreError::Refused(error.to_string()))
        }
        Err(error) => Err(StoreError::Transient(error.to_string())),
    }
}
