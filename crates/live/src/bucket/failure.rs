//! What a failed request means: who must act, and what may have happened.

use std::error::Error;

use grail_miner::ports::BucketError;
use secrecy::{ExposeSecret, SecretString};

use super::config::AccessKey;
use super::transport::{Refusal, is_unsent, refusal_in};
use grail_http::innermost;

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Write an object, or make one of its parts.
    Put,
    /// Write what is no object yet.
    Part,
    /// Read an object.
    Get,
    /// Remove an object.
    Delete,
}

impl Operation {
    /// Whether a request of unknown fate may have changed an object.
    const fn changes_objects(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }
}

/// Words failures, without the keys that a store may quote.
pub(super) struct Failures {
    secrets: Vec<SecretString>,
}

impl Failures {
    pub(super) fn new(keys: [&AccessKey; 2]) -> Self {
        Self { secrets: keys.iter().flat_map(|key| [key.secret.clone(), key.id.clone()]).collect() }
    }

    /// The port's error for the library's.
    pub(super) fn told(&self, operation: Operation, error: &object_store::Error) -> BucketError {
        match refusal_in(error) {
            Some(refusal) => self.refused(operation, refusal),
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

    fn refused(&self, operation: Operation, refusal: &Refusal) -> BucketError {
        if let Some(remedy) = remedy(refusal) {
            return BucketError::Refused(format!("{} ({})", remedy, self.hidden(&brief(refusal))));
        }
        let text = self.hidden(&refusal.to_string());
        match refusal.status {
            // A store that asks for patience has done nothing.
            408 | 429 | 503 => BucketError::Transient(text),
            _ if matches!(refusal.code.as_str(), "SlowDown" | "RequestTimeout" | "NoSuchUpload") => {
                BucketError::Transient(text)
            }
            304 | 409 | 412 => BucketError::ConditionFailed,
            404 if operation == Operation::Put => BucketError::ConditionFailed,
            200..=299 | 500.. if operation.changes_objects() => BucketError::Unknown(text),
            200..=299 | 500.. => BucketError::Transient(text),
            _ => BucketError::Refused(format!("{text}; see the store's documentation of this error")),
        }
    }

    fn hidden(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"))
    }
}

/// Whether the store says that there is no such object, in a bucket that there is.
pub(super) fn is_missing_object(error: &(dyn Error + 'static)) -> bool {
    refusal_in(error).is_some_and(|refusal| refusal.status == 404 && remedy(refusal).is_none())
}

/// What the operator must do, for refusals that only the operator can lift.
fn remedy(refusal: &Refusal) -> Option<&'static str> {
    Some(match (refusal.code.as_str(), refusal.status) {
        ("SignatureDoesNotMatch", _) => "the secret access key does not fit its id; copy both again",
        ("InvalidAccessKeyId" | "NotSignedUp", _) => {
            "the store does not know the access key id; copy it again, or make a new key"
        }
        ("ExpiredToken" | "TokenRefreshRequired", _) => "the key has expired; make a new one",
        ("RequestTimeTooSkewed", _) => "the host's clock is wrong; set it, best by NTP",
        ("NoSuchBucket", _) => "there is no such bucket; create it, or correct its name and account id",
        ("InvalidBucketName", _) => "the bucket's name is not allowed; correct it",
        ("AuthorizationHeaderMalformed" | "InvalidRegionName" | "PermanentRedirect", _)
        | ("", 300..=303 | 305..=399) => {
            "the bucket lies in another region or at another endpoint; correct R2_REGION (R2's is `auto`) and R2_ENDPOINT_URL"
        }
        ("EntityTooLarge", _) => "the store takes no object of this size; raise its limit",
        ("QuotaExceeded" | "InsufficientStorage", _) | (_, 507) => "the bucket is full; delete old windows from it",
        ("AccessDenied", _) | (_, 401 | 403) => {
            "the key lacks permission; the write key needs to write and delete objects, the read key to read and list them"
        }
        _ => return None,
    })
}

fn brief(refusal: &Refusal) -> String {
    match refusal.code.as_str() {
        "" => format!("HTTP status {}", refusal.status),
        code => format!("{code}, HTTP status {}", refusal.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(operation: Operation, status: u16, code: &str) -> BucketError {
        let failures = Failures::new([&AccessKey::new("ida", "sa"), &AccessKey::new("idb", "sb")]);
        failures.refused(operation, &Refusal { status, code: code.to_owned(), message: String::new() })
    }

    #[test]
    fn only_what_surely_did_nothing_is_transient() {
        for operation in [Operation::Put, Operation::Delete] {
            for (status, code) in [(429, ""), (503, "SlowDown"), (500, "SlowDown"), (400, "RequestTimeout")] {
                assert!(matches!(told(operation, status, code), BucketError::Transient(_)), "{status} {code}");
            }
            for (status, code) in [(500, "InternalError"), (502, ""), (504, ""), (200, "InternalError")] {
                assert!(matches!(told(operation, status, code), BucketError::Unknown(_)), "{status} {code}");
            }
        }
        for operation in [Operation::Get, Operation::Part] {
            assert!(matches!(told(operation, 500, "InternalError"), BucketError::Transient(_)));
        }
    }

    #[test]
    fn conditions_fail_under_every_status_that_stores_use() {
        for (status, code) in
            [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (304, ""), (404, "NoSuchKey")]
        {
            assert_eq!(told(Operation::Put, status, code), BucketError::ConditionFailed, "{status} {code}");
        }
    }

    #[test]
    fn what_the_operator_must_mend_is_refused_with_the_remedy() {
        for (status, code, remedy) in [
            (403, "SignatureDoesNotMatch", "copy both again"),
            (403, "AccessDenied", "permission"),
            (403, "InvalidAccessKeyId", "does not know"),
            (403, "RequestTimeTooSkewed", "clock"),
            (404, "NoSuchBucket", "create it"),
            (401, "Unauthorized", "permission"),
            (301, "PermanentRedirect", "region"),
            (301, "", "region"),
            (400, "InvalidRegionName", "`auto`"),
            (400, "InvalidRequest", "documentation"),
        ] {
            let error = told(Operation::Put, status, code);
            assert!(matches!(&error, BucketError::Refused(text) if text.contains(remedy)), "{error}");
        }
    }
}
