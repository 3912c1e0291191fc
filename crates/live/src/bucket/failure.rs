//! Meaning of failed requests: who must act, and what may have happened.

use std::cell::RefCell;
use std::error::Error;

use grail_miner::ports::BucketError;
use secrecy::{ExposeSecret, SecretString};

use super::config::AccessKey;
use super::refusal::Refusal;
use super::transport::{in_chain, is_unsent};
use grail_http::innermost;

/// Operation on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Write an object, or make one of its parts.
    Put,
    /// Write a part of an object.
    Part,
    /// Read an object.
    Get,
    /// Remove an object.
    Delete,
}

impl Operation {
    /// Returns whether a request of unknown fate may have changed an object.
    const fn changes_objects(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }

    /// Returns the feature that a store lacks if it does not support this operation.
    const fn missing_feature(self) -> &'static str {
        match self {
            Self::Put => {
                "the store has no conditional writes (If-None-Match, If-Match), which keep two miners from overwriting \
                 each other's windows; use another store, such as Cloudflare R2 or AWS S3"
            }
            Self::Part => {
                "the store takes no uploads in parts (multipart), which large windows need; use another store, such as \
                 Cloudflare R2 or AWS S3"
            }
            Self::Get => "the store does not let objects be read as S3 does; use another store",
            Self::Delete => "the store does not let objects be deleted; use another store",
        }
    }
}

/// Cause of a store's refusal, which says what the operator must change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCause {
    /// The key, or what it permits.
    Key,
    /// This machine's clock, which is too far from the store's.
    Clock,
    /// The bucket's name, region or endpoint.
    Place,
    /// The bucket is full, or takes no object of this size.
    Room,
    /// The store lacks an operation that mining needs.
    Feature,
}

/// A refusal by the store itself that only the operator can lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRefusal {
    /// Its cause.
    pub cause: RefusalCause,
    /// The store's error code and the HTTP status.
    pub brief: String,
    /// The remedy.
    pub remedy: &'static str,
}

/// Writes texts of failures, without keys that a store may quote.
pub(super) struct Failures {
    secrets: Vec<SecretString>,
    /// The refusal in the last failure, if it was one.
    refusal: RefCell<Option<StoreRefusal>>,
}

impl Failures {
    pub(super) fn new(keys: [&AccessKey; 2]) -> Self {
        let secrets = keys.iter().flat_map(|key| [key.secret.clone(), key.id.clone()]).collect();
        Self { secrets, refusal: RefCell::default() }
    }

    /// Returns the refusal in the last failure, if it was one.
    pub(super) fn refusal(&self) -> Option<StoreRefusal> {
        self.refusal.borrow().clone()
    }

    pub(super) fn remember(&self, refusal: Option<StoreRefusal>) {
        self.refusal.replace(refusal);
    }

    /// Returns the port's error for the library's.
    pub(super) fn classify(&self, operation: Operation, error: &object_store::Error) -> BucketError {
        self.refusal.take();
        match in_chain::<Refusal>(error) {
            Some(Refusal::Store { status, code, message }) => self.refused(operation, *status, code, message),
            Some(stranger @ Refusal::Stranger { status, .. }) => self.unclear(operation, *status, stranger),
            None if matches!(error, object_store::Error::InvalidPath { .. }) => {
                BucketError::Refused(self.hidden(&error.to_string()))
            }
            None => {
                let text = self.hidden(&innermost(error));
                match operation.changes_objects() && !is_unsent(error) {
                    true => BucketError::Unknown(text),
                    false => BucketError::Transient(text),
                }
            }
        }
    }

    /// Returns the meaning of a store's own error.
    fn refused(&self, operation: Operation, status: u16, code: &str, message: &str) -> BucketError {
        if let Some((cause, remedy)) = remedy(operation, status, code) {
            let brief = self.hidden(&format!("{code}, HTTP status {status}"));
            let text = format!("{remedy} ({brief})");
            self.remember(Some(StoreRefusal { cause, brief, remedy }));
            return BucketError::Refused(text);
        }
        let text = self.hidden(&format!("HTTP status {status}, {code}: {message}"));
        match status {
            // A store that asks for patience has done nothing.
            408 | 429 | 503 => BucketError::Transient(text),
            _ if matches!(code, "SlowDown" | "RequestTimeout" | "NoSuchUpload" | "TemporaryRedirect") => {
                BucketError::Transient(text)
            }
            304 | 409 | 412 => BucketError::ConditionFailed,
            404 if operation == Operation::Put => BucketError::ConditionFailed,
            200..=299 | 500.. if operation.changes_objects() => BucketError::Unknown(text),
            // No waiting gives the request another form.
            400..=499 if matches!(code, "InvalidRequest" | "InvalidArgument" | "MethodNotAllowed" | "NotSupported") => {
                BucketError::Refused(format!("{text}; see the store's documentation of this error"))
            }
            // A throttle, bytes that were damaged on their way, and whatever else a store may take back.
            _ => BucketError::Transient(text),
        }
    }

    /// Returns the meaning of an answer that may not be the store's. It never asks the operator to act, and says that a
    /// write did not happen only if proxies pass nothing on under such a status.
    fn unclear(&self, operation: Operation, status: u16, stranger: &Refusal) -> BucketError {
        let text = self.hidden(&stranger.to_string());
        match status {
            304 | 412 => BucketError::ConditionFailed,
            503 => BucketError::Transient(text),
            200..=299 | 500.. if operation.changes_objects() => BucketError::Unknown(text),
            _ => BucketError::Transient(text),
        }
    }

    fn hidden(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"))
    }
}

/// Returns whether the store says that the object does not exist in an existing bucket.
pub(super) fn is_missing_object(error: &(dyn Error + 'static)) -> bool {
    match in_chain::<Refusal>(error) {
        Some(Refusal::Store { status: 404, code, .. }) => remedy(Operation::Get, 404, code).is_none(),
        _ => false,
    }
}

/// Returns the same for a request whose answer has no body, and so no error. It only means that a conditional request
/// is worth a try.
pub(super) fn may_be_missing(error: &(dyn Error + 'static)) -> bool {
    in_chain::<Refusal>(error).is_some_and(|refusal| refusal.status() == 404)
}

/// Returns what a refusal is about and what the operator must do, for refusals that only the operator can lift: error codes
/// that name the operator's part, under a status of their own. A gateway's 503 proves nothing, whatever its body names.
fn remedy(operation: Operation, status: u16, code: &str) -> Option<(RefusalCause, &'static str)> {
    let (key, place, room) = (RefusalCause::Key, RefusalCause::Place, RefusalCause::Room);
    Some(match (code, status) {
        ("QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull", 400..=499 | 507) => {
            (room, "the bucket is full; delete old windows from it")
        }
        ("NotImplemented", 400..=499 | 501) => (RefusalCause::Feature, operation.missing_feature()),
        (_, ..300 | 500..) => return None,
        ("SignatureDoesNotMatch", _) => (key, "the secret access key does not fit its id; copy both again"),
        ("InvalidAccessKeyId" | "NotSignedUp", _) => {
            (key, "the store does not know the access key id; copy it again, or make a new key")
        }
        ("ExpiredToken" | "TokenRefreshRequired", _) => (key, "the key has expired; make a new one"),
        ("RequestTimeTooSkewed", _) => (RefusalCause::Clock, "the host's clock is wrong; set it, best by NTP"),
        ("NoSuchBucket", _) => (place, "there is no such bucket; create it, or correct its name and account id"),
        ("InvalidBucketName", _) => (place, "the bucket's name is not allowed; correct it"),
        ("AuthorizationHeaderMalformed" | "InvalidRegionName" | "PermanentRedirect", _) => {
            let remedy = "the bucket is in another region or at another endpoint; correct R2_REGION (R2's is `auto`) \
                          and R2_ENDPOINT_URL";
            (place, remedy)
        }
        ("EntityTooLarge", _) => (room, "the store takes no object of this size; raise its limit"),
        (
            "AccessDenied" | "UnauthorizedAccess" | "Unauthorized" | "Forbidden" | "AllAccessDisabled"
            | "AccountProblem",
            _,
        ) => {
            let remedy = "the key lacks permission; the write key needs to write and delete objects, the read key to \
                          read and list them";
            (key, remedy)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures() -> Failures {
        Failures::new([&AccessKey::new("ida", "sa"), &AccessKey::new("idb", "sb")])
    }

    fn classified(operation: Operation, status: u16, code: &str) -> BucketError {
        failures().refused(operation, status, code, "")
    }

    fn unclear(operation: Operation, status: u16) -> BucketError {
        let stranger = Refusal::Stranger { status, server: "a proxy".to_owned(), words: String::new() };
        failures().unclear(operation, status, &stranger)
    }

    // Other cases are in `tests/it/bucket_failures.rs`, on the wire.
    #[test]
    fn only_what_surely_did_nothing_is_transient() {
        for (operation, code) in
            [(Operation::Put, "SlowDown"), (Operation::Delete, "SlowDown"), (Operation::Part, "InternalError")]
        {
            assert!(matches!(classified(operation, 500, code), BucketError::Transient(_)), "{operation:?}");
        }
    }

    #[test]
    fn only_the_store_can_refuse_finally() {
        for operation in [Operation::Put, Operation::Delete, Operation::Get, Operation::Part] {
            for status in [301, 302, 307, 400, 401, 403, 404, 407, 408, 409, 413, 429, 451, 503] {
                assert!(matches!(unclear(operation, status), BucketError::Transient(_)), "{operation:?} {status}");
            }
            for status in [200, 500, 501, 502, 504, 507, 520, 599] {
                let is_open = matches!(unclear(operation, status), BucketError::Unknown(_));
                assert_eq!(is_open, operation.changes_objects(), "{operation:?} {status}");
            }
        }
    }

    #[test]
    fn what_a_store_may_take_back_is_no_verdict() {
        for operation in [Operation::Put, Operation::Delete, Operation::Get, Operation::Part] {
            for (status, code) in [
                (400, "IncompleteBody"),
                (400, "BadDigest"),
                (400, "XAmzContentSHA256Mismatch"),
                (400, "ThrottlingException"),
                (403, "Throttling"),
                (403, "ServiceUnavailable"),
                (403, "WafBlocked"),
                (407, "ProxyAuthenticationRequired"),
                (451, "Unknown"),
                (503, "AccessDenied"),
                (502, "NotImplemented"),
                (500, "InvalidAccessKeyId"),
            ] {
                let error = classified(operation, status, code);
                assert!(!matches!(error, BucketError::Refused(_)), "{operation:?} {status} {code}: {error}");
            }
        }
    }

    #[test]
    fn conditions_fail_under_every_status_that_stores_use() {
        assert_eq!(classified(Operation::Put, 404, "NoSuchKey"), BucketError::ConditionFailed);
        // Some stores send this without a body, as they send 304; the object is read before any conclusion.
        assert_eq!(unclear(Operation::Put, 412), BucketError::ConditionFailed);
    }

    #[test]
    fn a_refusal_says_what_it_is_about_until_the_next_failure() {
        use RefusalCause::{Clock, Feature, Key, Place, Room};
        let failures = failures();
        for (status, code, cause) in [
            (403, "AccessDenied", Some(Key)),
            (403, "RequestTimeTooSkewed", Some(Clock)),
            (404, "NoSuchBucket", Some(Place)),
            (507, "InsufficientStorage", Some(Room)),
            (501, "NotImplemented", Some(Feature)),
        ] {
            let error = failures.refused(Operation::Put, status, code, "");
            let refusal = failures.refusal().unwrap();
            assert_eq!(Some(refusal.cause), cause, "{code}");
            assert_eq!(error, BucketError::Refused(format!("{} ({})", refusal.remedy, refusal.brief)));
        }
        let broken = object_store::Error::Generic { store: "S3", source: "broken".into() };
        failures.classify(Operation::Get, &broken);
        assert_eq!(failures.refusal(), None);
    }

    #[test]
    fn problems_of_the_operator_are_refused_with_the_remedy() {
        for (status, code, remedy) in [
            (401, "Unauthorized", "permission"),
            (400, "InvalidRegionName", "`auto`"),
            (501, "NotImplemented", "conditional writes"),
            (400, "InvalidRequest", "documentation"),
        ] {
            let error = classified(Operation::Put, status, code);
            assert!(matches!(&error, BucketError::Refused(text) if text.contains(remedy)), "{error}");
        }
        for (operation, feature) in [(Operation::Part, "multipart"), (Operation::Delete, "deleted")] {
            let error = classified(operation, 501, "NotImplemented");
            assert!(matches!(&error, BucketError::Refused(text) if text.contains(feature)), "{error}");
        }
    }
}
