//! The bucket: the write key writes and deletes under conditions, validators can read its objects at their address, and
//! the read key cannot write.

use std::time::Duration;

use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};
use tokio::time::timeout;

use super::check::{Check, CheckStatus, Obstacle};
use super::configuration::VALUES;
use super::{Limits, Subject, clock};
use grail_config::{CredentialsError, ReadPlace, StorageConfig};
use grail_live::bucket::{AccessKey, Addressing, BucketConfig, ReadAddress, RefusalCause, S3Bucket, StoreRefusal};
use grail_live::unix_ms;

const WRITE: &str = "bucket.write";
const READ: &str = "bucket.read";
const CONDITIONS: &str = "bucket.conditions";
const MULTIPART: &str = "bucket.multipart";
const READ_ONLY: &str = "bucket.read_only";
const DELETE: &str = "bucket.delete";
const CLOCK: &str = "clock.bucket";
const CONTENT: &[u8] = b"`grail doctor` wrote this to see whether it can; it may be deleted";
const OTHER_CONTENT: &[u8] = b"`grail doctor` wrote this over it";
/// Retries of a read that does not find a write yet, and the pause between them.
const LATE_READS_MAX: usize = 3;
const LATE_READ_PAUSE: Duration = Duration::from_millis(300);
const NETWORK_REMEDY: &str =
    "let the host reach the endpoint, and see whether the store is up; mining tries it again by itself";
const STORE_REMEDY: &str = "use another store, such as Cloudflare R2 or AWS S3; without conditional writes two miners \
                            overwrite each other's windows";

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Some(storage) = subject.storage() else {
        let codes = [WRITE, READ, CONDITIONS, MULTIPART, READ_ONLY, DELETE, CLOCK];
        return codes.map(|code| Check::skipped(code, VALUES)).into();
    };
    let limits = subject.limits;
    let bucket = |writer: &grail_config::AccessKey| -> anyhow::Result<S3Bucket> {
        Ok(S3Bucket::new(described(storage, writer, limits)?)?)
    };
    let (ours, validators) = match bucket(&storage.write).and_then(|ours| Ok((ours, bucket(&storage.read)?))) {
        Ok(buckets) => buckets,
        Err(error) => {
            let mut checks = vec![Check::blocked_by(WRITE, Obstacle::Configuration, &error.to_string(), "; ")];
            let skipped = [READ, CONDITIONS, MULTIPART, READ_ONLY, DELETE, CLOCK];
            checks.extend(skipped.map(|code| Check::skipped(code, WRITE)));
            return checks;
        }
    };
    let stamp = unix_ms();
    let probe = Probe { bucket: &ours, key: format!("grail/doctor/probe-{stamp}"), limits };
    let written = probe.put(CONTENT, &PutCondition::Absent).await;
    let (read, is_there) = probe.read(&written, storage).await;
    let plainly = matches!(written, Err(Failed { error: BucketError::Refused(_), .. })) && probe.writes_plainly().await;
    let write = probe.write_check(&written, is_there, plainly);
    let (conditions, multipart) = match &written {
        Ok(version) => (probe.conditions(version, is_there).await, probe.multipart().await),
        Err(_) => (Check::skipped(CONDITIONS, WRITE), Check::skipped(MULTIPART, WRITE)),
    };
    let delete = match &written {
        Err(Failed { error: BucketError::Transient(_) | BucketError::Refused(_), .. }) => Check::skipped(DELETE, WRITE),
        _ => probe.deleted().await,
    };
    let forbidden = Probe { bucket: &validators, key: format!("grail/doctor/probe-{stamp}-by-read-key"), limits };
    let read_only = match (write.obstacle().is_some(), read.status) {
        // A store that refuses everybody proves nothing about a key.
        (true, _) => Check::skipped(READ_ONLY, WRITE),
        (false, CheckStatus::Ok) => forbidden.refused(&probe).await,
        (false, _) => Check::skipped(READ_ONLY, READ),
    };
    let offset_ms = ours.server_offset_ms().or(validators.server_offset_ms());
    let clock = offset_ms.map_or_else(|| Check::skipped(CLOCK, WRITE), |offset_ms| clock::check(CLOCK, offset_ms));
    vec![write, read, conditions, multipart, read_only, delete, clock]
}

/// Returns the bucket as the miner has it, written with this key.
fn described(
    storage: &StorageConfig,
    writer: &grail_config::AccessKey,
    limits: Limits,
) -> Result<BucketConfig, CredentialsError> {
    let key = |key: &grail_config::AccessKey| AccessKey { id: key.id.clone(), secret: key.secret.clone() };
    let addressing = if storage.force_path_style { Addressing::Path } else { Addressing::VirtualHost };
    let (endpoint, region) = (storage.endpoint.expose(), &storage.region);
    let config = BucketConfig::s3(endpoint, storage.name(), region, key(writer), key(&storage.read));
    let ReadPlace { credentials, server, region } = storage.read_place()?;
    let read_address = Some(ReadAddress::at(&credentials, server, region));
    let connect_ms = limits.call_ms.min(config.connect_ms);
    Ok(BucketConfig { addressing, read_address, request_ms: limits.call_ms, connect_ms, ..config })
}

/// An object that is there only for a moment.
struct Probe<'a> {
    bucket: &'a S3Bucket,
    key: String,
    limits: Limits,
}

impl Probe<'_> {
    async fn put(&self, content: &[u8], condition: &PutCondition) -> Result<Etag, Failed> {
        let written = self.bucket.put(&self.key, content, condition, self.limits.call_ms).await;
        written.map_err(|error| self.failed(error))
    }

    /// Must be called before the next request, which forgets the refusal.
    fn failed(&self, error: BucketError) -> Failed {
        Failed { error, refusal: self.bucket.refusal() }
    }

    /// Returns how the write ended; `is_there` if it happened anyway, `plainly` if one without a condition succeeds.
    fn write_check(&self, written: &Result<Etag, Failed>, is_there: bool, plainly: bool) -> Check {
        match written {
            Ok(_) => Check::ok(WRITE, "the write key wrote an object that was not there"),
            Err(_) if is_there && self.bucket.saw_no_version() => {
                let value =
                    "the store wrote an object and named no version of it (ETag), which conditional writes need";
                Check::blocked(WRITE, Obstacle::Configuration, value, STORE_REMEDY)
            }
            Err(failure) if plainly => {
                let refusal = failure.check(WRITE).value;
                let value = format!("the store writes, but not under the condition If-None-Match; {refusal}");
                Check::blocked(WRITE, Obstacle::Configuration, value, STORE_REMEDY)
            }
            Err(failure) => failure.check(WRITE),
        }
    }

    /// Returns whether the store writes without a condition.
    async fn writes_plainly(&self) -> bool {
        let key = format!("{}-without-condition", self.key);
        self.bucket.try_without_condition(&key, CONTENT, self.limits.call_ms).await.is_ok()
    }

    /// Returns whether validators can read the object, and whether it exists; if nothing was written, whether they may
    /// read at all.
    async fn read(&self, written: &Result<Etag, Failed>, storage: &StorageConfig) -> (Check, bool) {
        // Whether validators read from another server than the one that is written to.
        let is_elsewhere = storage.read_place().is_ok_and(|place| place.server != storage.endpoint.expose());
        let is_written = written.is_ok();
        if is_elsewhere && !is_written {
            return (Check::skipped(READ, WRITE), false);
        }
        let address = self.bucket.read_url.as_str();
        let mut read = timeout(self.limits.call(), self.bucket.get(&self.key)).await;
        for _ in 0..LATE_READS_MAX {
            if !(is_written && matches!(read, Ok(Ok(None)))) {
                break;
            }
            // Some stores show a write a little later.
            tokio::time::sleep(LATE_READ_PAUSE).await;
            read = timeout(self.limits.call(), self.bucket.get(&self.key)).await;
        }
        let check = match read {
            Err(_) => self.late(READ),
            Ok(Err(error)) => self.failed(error).check(READ),
            Ok(Ok(Some((content, _)))) if content == CONTENT => {
                return (Check::ok(READ, format!("validators read what was written, at {address}")), true);
            }
            Ok(Ok(None)) if !is_written => {
                Check::ok(READ, format!("validators may read at {address}; there was nothing to be read"))
            }
            Ok(Ok(_)) if self.bucket.write_url() != address => Check::blocked(
                READ,
                Obstacle::Configuration,
                format!("what was written at {} is not at {address}, where validators read", self.bucket.write_url()),
                match is_elsewhere {
                    true => "take R2_ENDPOINT_URL out: validators build the address from the account id alone",
                    false => "set R2_FORCE_PATH_STYLE=true: validators read SERVER/BUCKET/OBJECT",
                },
            ),
            Ok(Ok(_)) => Check::failure(
                READ,
                format!("the read key does not find at {address} what the write key wrote"),
                "make sure that both keys belong to the same account and bucket",
            ),
        };
        (check, false)
    }

    /// Returns whether the store keeps the conditions under which the miner writes; leaves another content there. If the
    /// object was not seen (`is_there`), a second one proves nothing: the store may have kept neither.
    async fn conditions(&self, first: &Etag, is_there: bool) -> Check {
        let lacks = |what: &str| {
            Check::blocked(CONDITIONS, Obstacle::Configuration, format!("the store does not keep {what}"), STORE_REMEDY)
        };
        match self.put(OTHER_CONTENT, &PutCondition::Absent).await {
            Err(Failed { error: BucketError::ConditionFailed, .. }) => {}
            Ok(_) if !is_there => return Check::skipped(CONDITIONS, READ),
            Ok(_) => return lacks("If-None-Match: it wrote over an object that was only to be created"),
            Err(failure) => return failure.check(CONDITIONS),
        }
        match self.put(OTHER_CONTENT, &PutCondition::Matches(first.clone())).await {
            Ok(second) if second != *first => {}
            Ok(_) => return lacks("versions apart: two contents have the same ETag"),
            Err(Failed { error: BucketError::ConditionFailed, .. }) => {
                return lacks("If-Match: it refused the version that it had named");
            }
            Err(failure) => return failure.check(CONDITIONS),
        }
        match self.put(CONTENT, &PutCondition::Matches(first.clone())).await {
            Err(Failed { error: BucketError::ConditionFailed, .. }) => {
                Check::ok(CONDITIONS, "the store keeps If-None-Match and If-Match, and names versions (ETag)")
            }
            Ok(_) => lacks("If-Match: it wrote over another version than the one that was named"),
            Err(failure) => failure.check(CONDITIONS),
        }
    }

    async fn multipart(&self) -> Check {
        match self.bucket.try_parts(&format!("{}-in-parts", self.key), CONTENT, self.limits.call_ms).await {
            Ok(()) => Check::ok(MULTIPART, "the store takes an object in parts"),
            Err(error) => self.failed(error).check(MULTIPART),
        }
    }

    async fn deleted(&self) -> Check {
        match timeout(self.limits.call(), self.bucket.delete(&self.key)).await {
            Ok(Ok(())) => Check::ok(DELETE, "the write key deleted it again"),
            Ok(Err(error)) => self.failed(error).check(DELETE),
            Err(_) => self.late(DELETE),
        }
    }

    /// Returns whether this key is kept from writing; if it is not, `rightful` removes what it wrote.
    async fn refused(&self, rightful: &Probe<'_>) -> Check {
        match self.put(CONTENT, &PutCondition::Absent).await {
            Err(Failed { error: BucketError::Refused(_), .. }) => {
                Check::ok(READ_ONLY, "the store does not let the read key write")
            }
            Ok(_) => {
                let wrongful = Probe { bucket: rightful.bucket, key: self.key.clone(), limits: self.limits };
                let left = match wrongful.deleted().await.remedy {
                    None => String::new(),
                    Some(_) => format!("; delete the object {}", self.key),
                };
                Check::blocked(
                    READ_ONLY,
                    Obstacle::Credentials,
                    "the read key can write, and it is published on the chain, so anybody could overwrite your windows",
                    format!(
                        "make an R2 token with the permission `Object Read only`, set R2_READ_* to its key, and revoke this one{left}"
                    ),
                )
            }
            Err(Failed { error, .. }) => {
                let remedy = "run `grail doctor` again before you mine: a published key that can write is an open door";
                Check::warning(READ_ONLY, format!("cannot find out whether the read key can write ({error})"), remedy)
            }
        }
    }

    fn late(&self, code: &'static str) -> Check {
        Check::failure(code, format!("no answer within {} ms", self.limits.call_ms), NETWORK_REMEDY)
    }
}

/// A request that did not succeed.
struct Failed {
    error: BucketError,
    /// The store's refusal, if it refused.
    refusal: Option<StoreRefusal>,
}

impl Failed {
    fn check(&self, code: &'static str) -> Check {
        match (&self.error, &self.refusal) {
            (BucketError::Refused(_), Some(refusal)) => refused(code, refusal),
            (BucketError::Refused(text), None) => {
                Check::blocked(code, Obstacle::Configuration, text, "see the store's documentation of this error")
            }
            (error, _) => Check::failure(code, error.to_string(), NETWORK_REMEDY),
        }
    }
}

fn refused(code: &'static str, StoreRefusal { cause, brief, remedy }: &StoreRefusal) -> Check {
    let obstacle = match cause {
        // NTP corrects a clock without anybody's help.
        RefusalCause::Clock => {
            let value = "refused: RequestTimeTooSkewed, since the host's clock is off";
            return Check::passing(code, value, clock::REMEDY);
        }
        RefusalCause::Key => Obstacle::Credentials,
        RefusalCause::Place | RefusalCause::Room | RefusalCause::Feature => Obstacle::Configuration,
    };
    Check::blocked(code, obstacle, format!("refused: {brief}"), *remedy)
}
