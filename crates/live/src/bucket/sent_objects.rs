//! Recently sent objects: a read-back cannot be larger, and may lack the version that the write returned.

use std::collections::VecDeque;

use grail_miner::ports::Etag;

/// Number of objects that are remembered; a window has one, and the one before may still be read.
const OBJECTS_MAX: usize = 8;

/// The newest objects by key.
#[derive(Default)]
pub(super) struct SentObjects(VecDeque<SentObject>);

struct SentObject {
    key: String,
    /// Size of the largest content that was sent.
    bytes_max: u64,
    /// Digest of the newest content.
    digest: String,
    /// The version that it got, once that was acknowledged.
    version: Option<Etag>,
}

impl SentObjects {
    /// Takes note of a content that is about to be sent.
    pub(super) fn begin(&mut self, key: &str, bytes: u64, digest: &str) {
        let before = self.0.iter().position(|object| object.key == key).and_then(|at| self.0.remove(at));
        let bytes_max = before.map_or(bytes, |before| before.bytes_max.max(bytes));
        self.0.push_back(SentObject { key: key.to_owned(), bytes_max, digest: digest.to_owned(), version: None });
        if self.0.len() > OBJECTS_MAX {
            self.0.pop_front();
        }
    }

    /// Takes note of the version that the newest content of a key got.
    pub(super) fn acknowledged(&mut self, key: &str, version: &Etag) {
        if let Some(object) = self.0.iter_mut().find(|object| object.key == key) {
            object.version = Some(version.clone());
        }
    }

    /// Size of the largest content that was sent under a key; none if nothing was.
    pub(super) fn bytes_max(&self, key: &str) -> Option<u64> {
        self.object(key).map(|object| object.bytes_max)
    }

    /// Returns the version of a content if it is the newest of its key: an empty one, which matches nothing, if none
    /// was acknowledged.
    pub(super) fn version(&self, key: &str, digest: &str) -> Option<Etag> {
        let object = self.object(key).filter(|object| object.digest == digest)?;
        Some(object.version.clone().unwrap_or_else(|| Etag(String::new())))
    }

    fn object(&self, key: &str) -> Option<&SentObject> {
        self.0.iter().find(|object| object.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_content_of_each_of_the_newest_keys_is_the_limit() {
        let mut sent = SentObjects::default();
        sent.begin("a", 7, "x");
        sent.begin("a", 5, "y");
        assert_eq!((sent.bytes_max("a"), sent.bytes_max("b")), (Some(7), None));
        for number in 0..OBJECTS_MAX {
            sent.begin(&number.to_string(), 1, "z");
        }
        assert_eq!((sent.bytes_max("a"), sent.bytes_max("0")), (None, Some(1)));
    }

    #[test]
    fn the_newest_content_has_the_version_that_it_got() {
        let mut sent = SentObjects::default();
        let version = Etag("\"1\"".to_owned());
        sent.acknowledged("a", &version);
        assert_eq!(sent.version("a", "x"), None, "nothing of that key was sent");
        sent.begin("a", 7, "x");
        assert_eq!(sent.version("a", "x"), Some(Etag(String::new())));
        sent.acknowledged("a", &version);
        assert_eq!((sent.version("a", "x"), sent.version("a", "y")), (Some(version), None));
        sent.begin("a", 7, "y");
        assert_eq!(sent.version("a", "x"), None);
    }
}
