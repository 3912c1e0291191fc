//! The bucket: the write key writes and deletes, the read key reads what validators will read, and cannot write.

use grail_miner::ports::{Bucket, BucketError, PutCondition};
use tokio::time::timeout;

use super::check::Check;
use super::configuration::VALUES;
use super::{Limits, Subject, clock};
use grail_config::StorageConfig;
use grail_live::bucket::{AccessKey, Addressing, BucketConfig, S3Bucket};
use grail_live::unix_ms;

const WRITE: &str = "bucket.write";
const READ: &str = "bucket.read";
const READ_ONLY: &str = "bucket.read_only";
const DELETE: &str = "bucket.delete";
const CLOCK: &str = "clock.bucket";
const CONTENT: &[u8] = b"`grail doctor` wrote this to see whether it can; it may be deleted";
const NETWORK_REMEDY: &str =
    "let the host reach the endpoint, and see whether the store is up; mining tries it again by itself";

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Some(config) = subject.config() else {
        return [WRITE, READ, READ_ONLY, DELETE, CLOCK].map(|code| Check::skipped(code, VALUES)).into();
    };
    let (storage, limits) = (&config.storage, subject.limits);
    let buckets = S3Bucket::new(described(storage, &storage.write, limits))
        .and_then(|ours| Ok((ours, S3Bucket::new(described(storage, &storage.read, limits))?)));
    let (ours, validators) = match buckets {
        Ok(buckets) => buckets,
        Err(error) => {
            let skipped = [READ, READ_ONLY, DELETE, CLOCK].map(|code| Check::skipped(code, WRITE));
            return [Check::obstacle_told(WRITE, &error.to_string(), "; ")].into_iter().chain(skipped).collect();
        }
    };
    let stamp = unix_ms();
    let probe = Probe { bucket: &ours, key: format!("grail/doctor/probe-{stamp}"), limits };
    let write = probe.written().await;
    let read = probe.read(write.is_ok()).await;
    let delete = match &write {
        Err(Unwritten { is_open: false, .. }) => Check::skipped(DELETE, WRITE),
        _ => probe.deleted().await,
    };
    let forbidden = Probe { bucket: &validators, key: format!("grail/doctor/probe-{stamp}-by-read-key"), limits };
    let read_only = match read.remedy {
        None => forbidden.refused(&probe).await,
        Some(_) => Check::skipped(READ_ONLY, READ),
    };
    let offset_ms = ours.server_offset_ms().or(validators.server_offset_ms());
    let clock = offset_ms.map_or_else(|| Check::skipped(CLOCK, WRITE), |offset_ms| clock::check(CLOCK, offset_ms));
    let write = write.unwrap_or_else(|unwritten| unwritten.check);
    vec![write, read, read_only, delete, clock]
}

fn described(storage: &StorageConfig, writer: &grail_config::AccessKey, limits: Limits) -> BucketConfig {
    let key = |key: &grail_config::AccessKey| AccessKey { id: key.id.clone(), secret: key.secret.clone() };
    let addressing = if storage.force_path_style { Addressing::Path } else { Addressing::VirtualHost };
    let (endpoint, region) = (storage.endpoint.expose(), &storage.region);
    let config = BucketConfig::s3(endpoint, storage.name(), region, key(writer), key(&storage.read));
    BucketConfig { addressing, request_ms: limits.call_ms, connect_ms: limits.call_ms.min(config.connect_ms), ..config }
}

/// An object that is there only for a moment.
struct Probe<'a> {
    bucket: &'a S3Bucket,
    key: String,
    limits: Limits,
}

/// Why the probe was not written.
struct Unwritten {
    check: Check,
    /// Whether it may be there all the same.
    is_open: bool,
}

impl Probe<'_> {
    async fn put(&self) -> Result<(), BucketError> {
        self.bucket.put(&self.key, CONTENT, &PutCondition::Absent, self.limits.call_ms).await.map(drop)
    }

    async fn written(&self) -> Result<Check, Unwritten> {
        match self.put().await {
            Ok(()) => Ok(Check::ok(WRITE, "the write key wrote an object that was not there")),
            Err(error) => {
                let is_open = matches!(error, BucketError::Unknown(_));
                Err(Unwritten { check: failed(WRITE, &error), is_open })
            }
        }
    }

    /// Whether the read key reads what was written; where nothing was, whether it may read at all.
    async fn read(&self, is_written: bool) -> Check {
        match timeout(self.limits.call(), self.bucket.get(&self.key)).await {
            Err(_) => self.late(READ),
            Ok(Err(error)) => failed(READ, &error),
            Ok(Ok(Some((content, _)))) if content == CONTENT => Check::ok(READ, "the read key reads what was written"),
            Ok(Ok(None)) if !is_written => Check::ok(READ, "the read key may read; there was nothing to be read"),
            Ok(Ok(_)) => Check::failure(
                READ,
                "the read key does not find what the write key wrote",
                "make sure that both keys belong to the same account and bucket",
            ),
        }
    }

    async fn deleted(&self) -> Check {
        match timeout(self.limits.call(), self.bucket.delete(&self.key)).await {
            Ok(Ok(())) => Check::ok(DELETE, "the write key deleted it again"),
            Ok(Err(error)) => failed(DELETE, &error),
            Err(_) => self.late(DELETE),
        }
    }

    /// Whether this key is kept from writing; if it is not, `rightful` removes what it wrote.
    async fn refused(&self, rightful: &Probe<'_>) -> Check {
        match self.put().await {
            Err(BucketError::Refused(_)) => Check::ok(READ_ONLY, "the store does not let the read key write"),
            Ok(()) => {
                let wrongful = Probe { bucket: rightful.bucket, key: self.key.clone(), limits: self.limits };
                let left = match wrongful.deleted().await.remedy {
                    None => String::new(),
                    Some(_) => format!("; delete the object {}", self.key),
                };
                Check::obstacle(
                    READ_ONLY,
                    "the read key can write, and it is published on the chain, so anybody could overwrite your windows",
                    format!(
                        "make an R2 token with the permission `Object Read only`, set R2_READ_* to its key, and revoke this one{left}"
                    ),
                )
            }
            Err(error) => {
                let remedy = "run `grail doctor` again before you mine: a published key that can write is an open door";
                Check::warning(
                    READ_ONLY,
                    format!("it could not be told whether the read key can write ({error})"),
                    remedy,
                )
            }
        }
    }

    fn late(&self, code: &'static str) -> Check {
        Check::failure(code, format!("no answer within {} ms", self.limits.call_ms), NETWORK_REMEDY)
    }
}

fn failed(code: &'static str, error: &BucketError) -> Check {
    match error {
        // The store's refusal stands in brackets after the remedy.
        BucketError::Refused(text) => match text.rsplit_once(" (") {
            Some((remedy, refusal)) => {
                Check::obstacle(code, format!("refused: {}", refusal.trim_end_matches(')')), remedy)
            }
            None => Check::obstacle(code, text, "see the store's documentation of this error"),
        },
        error => Check::failure(code, error.to_string(), NETWORK_REMEDY),
    }
}
