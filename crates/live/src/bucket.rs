//! The bucket: any S3 endpoint, mostly R2; written with one key and read with another.

mod config;
mod failure;
mod hedge;
mod multipart;
mod progress;
mod refusal;
mod sent_objects;
mod transport;

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
    UpdateVersion,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

pub use config::{AccessKey, Addressing, BucketConfig, BucketConfigError, ReadAddress};
pub use failure::{RefusalCause, StoreRefusal};
pub use progress::UploadProgress;

use super::server_clock::ServerClock;
use failure::{Failures, Operation};
use grail_http::{http_client, http_client_without_pool};
use sent_objects::SentObjects;
use transport::{BytesMax, NoVersion, TooLarge, Transport, in_chain};

/// The metadata that holds an object's sha256.
const DIGEST_NAME: &str = "sha256";

/// One bucket behind an S3 endpoint, written with one key, and read with another as validators read it.
///
/// Only a `put` whose first attempt is silent or broke is sent twice, and only after a read of the object. A 200 whose
/// body is an error leaves the outcome of a write unknown, as a broken connection does. Some stores acknowledge writes
/// and lose them, so only a read-back with the read key proves a write. A store that refuses a condition before it has
/// read the whole body may close the connection; that is unknown too, and the read finds the other writer's object.
pub struct S3Bucket {
    config: BucketConfig,
    endpoint: String,
    writer: Writer,
    /// Client for second attempts. It keeps no connections, so it never uses a dead one.
    second_writer: Writer,
    reader: AmazonS3,
    /// The address that is read, without the key: server and bucket.
    pub read_url: String,
    sent_objects: RefCell<SentObjects>,
    failures: Failures,
    server_clock: ServerClock,
    /// How much of the running `put` has been sent. Two at once share the counters.
    pub progress: UploadProgress,
}

/// The write key over one HTTP client.
struct Writer {
    transport: Transport,
    store: AmazonS3,
}

/// One object to write.
struct Write<'a> {
    path: Path,
    bytes: &'a [u8],
    /// sha256 in hex; it is next to the object.
    digest: String,
    condition: &'a PutCondition,
}

impl S3Bucket {
    /// Returns the bucket that `config` describes; nothing is sent yet.
    ///
    /// # Errors
    /// [`BucketConfigError`] if the description cannot be right.
    pub fn new(config: BucketConfig) -> Result<Self, BucketConfigError> {
        let endpoint = config.checked_endpoint()?;
        let server_clock = ServerClock::default();
        let progress = UploadProgress::default();
        let [sent, second_sent] = progress.attempts();
        let client = http_client(config.connect_ms, config.request_ms)?;
        let transport = Transport::new(client, server_clock.clone(), sent);
        let client = http_client_without_pool(config.connect_ms, config.request_ms)?;
        let second_transport = Transport::new(client, server_clock.clone(), second_sent);
        let writer = |transport: Transport| {
            let store = store(&config, &endpoint, &config.write_key, transport.clone())?;
            Ok::<_, BucketConfigError>(Writer { transport, store })
        };
        let (reader, read_url) = match &config.read_address {
            None => (store(&config, &endpoint, &config.read_key, transport.clone())?, config.url(&endpoint)),
            Some(address) => {
                let endpoint = address.checked_endpoint()?;
                let addressing = Addressing::Path;
                let (bucket, region) = (address.bucket.clone(), address.region.clone());
                let config = BucketConfig { addressing, bucket, region, ..config.clone() };
                (store(&config, &endpoint, &address.key, transport.clone())?, address.url())
            }
        };
        let (writer, second_writer) = (writer(transport)?, writer(second_transport)?);
        let failures = Failures::new([&config.write_key, &config.read_key]);
        let sent_objects = RefCell::default();
        Ok(Self {
            config,
            endpoint,
            writer,
            second_writer,
            reader,
            read_url,
            sent_objects,
            failures,
            server_clock,
            progress,
        })
    }

    /// Returns the address that is written to, without the key: server and bucket.
    pub fn write_url(&self) -> String {
        self.config.url(&self.endpoint)
    }

    /// Returns whether the store, or a proxy, answered with success and without the object's version (ETag).
    pub fn saw_no_version(&self) -> bool {
        self.writer.transport.saw_no_version() || self.second_writer.transport.saw_no_version()
    }

    /// Returns the refusal of the last failed request, if only the operator can lift it. Read it before the next
    /// request.
    pub fn refusal(&self) -> Option<StoreRefusal> {
        self.failures.refusal()
    }

    /// Writes an object in parts, whatever its size, and removes it again.
    ///
    /// # Errors
    /// As [`Bucket::put`] and [`Bucket::delete`].
    pub async fn try_parts(&self, key: &str, bytes: &[u8], limit_ms: u64) -> Result<(), BucketError> {
        let digest = hex::encode(Sha256::digest(bytes));
        let write = Write { path: path(key)?, bytes, digest, condition: &PutCondition::Absent };
        let limit = Duration::from_millis(limit_ms);
        let put = tokio::time::timeout(limit, self.put_in_parts(&self.writer, &write)).await;
        let put = put.unwrap_or_else(|_| Err(BucketError::Unknown(format!("no answer within {limit_ms} ms"))));
        // Also after a failure, since the object may exist anyway.
        self.removed_after(put.map(drop), key).await
    }

    /// Writes an object without a condition, and removes it again, to find out whether a refusal is about the
    /// condition.
    ///
    /// # Errors
    /// As [`Bucket::put`] and [`Bucket::delete`].
    pub async fn try_without_condition(&self, key: &str, bytes: &[u8], limit_ms: u64) -> Result<(), BucketError> {
        let path = path(key)?;
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        let put = tokio::time::timeout(Duration::from_millis(limit_ms), self.writer.store.put(&path, payload)).await;
        let put = put.map(|put| put.map(drop).map_err(|error| self.failures.classify(Operation::Put, &error)));
        let put = put.unwrap_or_else(|_| Err(BucketError::Unknown(format!("no answer within {limit_ms} ms"))));
        self.removed_after(put, key).await
    }

    /// Removes the object; of two failures the first counts, and so does its refusal.
    async fn removed_after(&self, put: Result<(), BucketError>, key: &str) -> Result<(), BucketError> {
        let refusal = self.failures.refusal();
        let deleted = self.delete(key).await;
        if put.is_err() {
            self.failures.remember(refusal);
        }
        put.and(deleted)
    }

    /// Returns how far the store's clock is ahead of ours, in milliseconds, by its last answer; answers have whole
    /// seconds.
    pub fn server_offset_ms(&self) -> Option<i64> {
        self.server_clock.offset_ms()
    }

    async fn put_whole(&self, writer: &Writer, write: &Write<'_>) -> Result<Etag, BucketError> {
        let mode = match write.condition {
            PutCondition::Absent => PutMode::Create,
            PutCondition::Matches(Etag(tag)) => {
                PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None })
            }
        };
        let options = PutOptions { mode, attributes: write.attributes(), ..PutOptions::default() };
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(write.bytes));
        let result = writer.store.put_opts(&write.path, payload, options).await;
        let tag = result.map_err(|error| self.failures.classify(Operation::Put, &error))?.e_tag;
        tag.map(Etag).ok_or_else(|| BucketError::Unknown(NoVersion.to_string()))
    }

    /// Returns an object's bytes, at most as many as were sent, and its version. Validators need no version, so our own
    /// bytes are accepted without one; they cannot be overwritten then.
    async fn read(&self, key: &str, path: &Path) -> Result<(Vec<u8>, Option<Etag>), object_store::Error> {
        let sent_max = self.sent_objects.borrow().bytes_max(key);
        let mut options = GetOptions::default();
        options.extensions.insert(BytesMax(sent_max.unwrap_or(self.config.object_bytes_max)));
        let object = self.reader.get_opts(path, options).await?;
        let tag = object.meta.e_tag.clone().map(Etag);
        let bytes: Vec<u8> = object.bytes().await?.into();
        let tag = tag.or_else(|| self.sent_objects.borrow().version(key, &hex::encode(Sha256::digest(&bytes))));
        Ok((bytes, tag))
    }
}

#[async_trait(?Send)]
impl Bucket for S3Bucket {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError> {
        let path = path(key)?;
        // Stores answer such a version with a malformed-request error, and the library panics on some.
        if matches!(condition, PutCondition::Matches(Etag(tag)) if !is_version(tag)) {
            return Err(BucketError::ConditionFailed);
        }
        let digest = hex::encode(Sha256::digest(bytes));
        let _under_way = self.progress.begin(bytes.len());
        self.sent_objects.borrow_mut().begin(key, bytes.len() as u64, &digest);
        let written =
            self.put_hedged(&Write { path, bytes, digest, condition }, Duration::from_millis(limit_ms)).await?;
        self.sent_objects.borrow_mut().acknowledged(key, &written);
        Ok(written)
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        let path = path(key)?;
        match self.read(key, &path).await {
            Ok((bytes, Some(tag))) => Ok(Some((bytes, tag))),
            Ok((_, None)) => Err(BucketError::Transient(NoVersion.to_string())),
            Err(error) if failure::is_missing_object(&error) => Ok(None),
            Err(error) => Err(match in_chain::<TooLarge>(&error) {
                // It is another writer's object, or was altered on the way; a second read shows which.
                Some(limit) if self.sent_objects.borrow().bytes_max(key).is_some() => {
                    BucketError::Transient(format!("{limit}, and no more than that was sent"))
                }
                Some(limit) => BucketError::Refused(format!("{key}: {limit}; delete it")),
                None => self.failures.classify(Operation::Get, &error),
            }),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        match self.writer.store.delete(&path(key)?).await {
            Err(error) if !failure::is_missing_object(&error) => Err(self.failures.classify(Operation::Delete, &error)),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Bucket")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.config.bucket)
            .finish_non_exhaustive()
    }
}

impl Write<'_> {
    /// Returns the object's attributes, without a content encoding: with one, readers would get the file unpacked.
    fn attributes(&self) -> Attributes {
        Attributes::from_iter([
            (Attribute::ContentType, "application/gzip".to_owned()),
            (Attribute::Metadata(DIGEST_NAME.into()), self.digest.clone()),
        ])
    }
}

fn store(
    config: &BucketConfig,
    endpoint: &str,
    key: &AccessKey,
    transport: Transport,
) -> Result<AmazonS3, BucketConfigError> {
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_virtual_hosted_style_request(config.addressing == Addressing::VirtualHost)
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_access_key_id(key.id.expose_secret())
        .with_secret_access_key(key.secret.expose_secret())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // The bulk request reports failures in a body of 200, and not every store has it.
        .with_disable_bulk_delete(true)
        .with_http_connector(transport);
    builder.build().map_err(|error| BucketConfigError::Store(error.to_string()))
}

/// Returns whether this can be a store's version: an entity tag of RFC 9110, or an unquoted one, as some stores send
/// it.
fn is_version(tag: &str) -> bool {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let opaque = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(opaque);
    // A bare `*` would match whatever is there.
    opaque != "*" && !opaque.is_empty() && opaque.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
}

fn path(key: &str) -> Result<Path, BucketError> {
    Path::parse(key).map_err(|error| BucketError::Refused(format!("{key:?} is not an object key: {error}")))
}
