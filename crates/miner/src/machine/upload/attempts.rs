//! Failed attempts to upload a window's file. The receipt of a window without an upload states all of them, not only
//! the last stage.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::answers::BucketError;

/// Everything that failed since the window started, or since its first block was replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::machine) struct Attempts {
    bucket: Failures,
    hash: Failures,
}

/// Failures of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    count: u32,
    first: Option<String>,
    last: Option<String>,
}

impl Attempts {
    /// Records a failure of the bucket.
    pub(in crate::machine) fn bucket_failed(&mut self, error: &BucketError) {
        self.bucket.note(cause(error));
    }

    /// The bucket says that all is well, and it is not.
    pub(super) fn bucket_is_wrong(&mut self, what: &str) {
        self.bucket.note(what);
    }

    /// The window's block hash could not be read.
    pub(super) fn hash_failed(&mut self, why: &str) {
        self.hash.note(why);
    }

    /// Returns how the bucket failed, if it did.
    pub(in crate::machine) fn bucket(&self) -> Option<String> {
        (self.bucket.count > 0).then(|| format!("the bucket failed {}", self.bucket))
    }

    pub(super) fn bucket_failed_repeatedly(&self) -> bool {
        self.bucket.count > 1
    }

    /// Returns how the block hash could not be read, if so.
    pub(super) fn hash(&self) -> Option<String> {
        (self.hash.count > 0).then(|| format!("its reading failed {}", self.hash))
    }

    /// Returns the bucket's last failure.
    pub(super) fn last_of_bucket(&self) -> Option<&str> {
        self.bucket.last.as_deref()
    }
}

impl Failures {
    fn note(&mut self, why: &str) {
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert_with(|| why.to_owned());
        self.last = Some(why.to_owned());
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        let (first, last) = (self.first.as_deref().unwrap_or_default(), self.last.as_deref().unwrap_or_default());
        if first == last { write!(f, "{times}: {first}") } else { write!(f, "{times}, first: {first}; last: {last}") }
    }
}

/// Returns the failure, without the miner's reaction.
fn cause(error: &BucketError) -> &str {
    match error {
        BucketError::Transient(why) | BucketError::Unknown(why) | BucketError::Refused(why) => why,
        BucketError::ConditionFailed => "another object than the expected one is in its place",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_shown_with_their_count_and_the_first_and_last_of_them() {
        let mut attempts = Attempts::default();
        assert_eq!((attempts.bucket(), attempts.hash()), (None, None));
        attempts.bucket_failed(&BucketError::Transient("HTTP status 503".to_owned()));
        assert_eq!(attempts.bucket().unwrap(), "the bucket failed once: HTTP status 503");
        attempts.bucket_failed(&BucketError::Unknown("HTTP status 503".to_owned()));
        assert_eq!(attempts.bucket().unwrap(), "the bucket failed 2 times: HTTP status 503");
        attempts.bucket_failed(&BucketError::ConditionFailed);
        let text = attempts.bucket().unwrap();
        assert!(text.starts_with("the bucket failed 3 times, first: HTTP status 503; last: another object"), "{text}");
        attempts.hash_failed("no answer");
        assert_eq!(attempts.hash().unwrap(), "its reading failed once: no answer");
    }
}
