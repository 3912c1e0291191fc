//! What describes a bucket.

use secrecy::{ExposeSecret, SecretString};

use grail_http::HttpClientError;

/// One pair of S3 credentials; neither half is ever shown.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The access key id.
    pub id: SecretString,
    /// The secret access key.
    pub secret: SecretString,
}

impl AccessKey {
    /// The key of these two halves.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: SecretString::from(id.into()), secret: SecretString::from(secret.into()) }
    }
}

/// Where the bucket's name stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// As the first part of the path.
    #[default]
    Path,
    /// As the first label of the host.
    VirtualHost,
}

/// What describes a bucket.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// The endpoint's address, without the bucket.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Where the bucket's name stands.
    pub addressing: Addressing,
    /// The key that writes and deletes.
    pub write_key: AccessKey,
    /// The key that reads, as validators do.
    pub read_key: AccessKey,
    /// After this long without a connection, a request has failed.
    pub connect_ms: u64,
    /// After this long, a request has failed.
    pub request_ms: u64,
    /// Objects above this size go in parts of it; stores want at least 5 MiB, R2 all parts but the last alike.
    pub part_bytes: usize,
}

/// Why a description cannot be right.
#[derive(Debug, thiserror::Error)]
pub enum BucketConfigError {
    /// Not an address. It is not shown, as it may hold a password.
    #[error("the endpoint is not the address of an S3 server; it must look like https://host, without user or query")]
    Endpoint,
    /// The bucket's name cannot stand in front of such a host.
    #[error("a host that is an IP address has no place for the bucket's name; set R2_FORCE_PATH_STYLE=true")]
    VirtualHost,
    /// An empty or impossible name.
    #[error("{0:?} is not a bucket's name; it must be lower-case letters, digits, dots and hyphens")]
    Bucket(String),
    /// Half of a key is missing.
    #[error("the {0} key of the bucket is incomplete; give both its access key id and its secret")]
    Key(&'static str),
    /// Parts of nothing.
    #[error("parts must have at least 5 MiB, as stores refuse smaller ones")]
    PartBytes,
    /// There is no HTTP client.
    #[error(transparent)]
    Http(#[from] HttpClientError),
    /// The library refuses.
    #[error("the bucket's configuration is not usable: {0}")]
    Store(String),
}

impl BucketConfig {
    /// Cloudflare R2, where the miner's bucket is named as its account.
    pub fn r2(account_id: &str, write_key: AccessKey, read_key: AccessKey) -> Self {
        let endpoint = format!("https://{account_id}.r2.cloudflarestorage.com");
        Self::s3(endpoint, account_id, "auto", write_key, read_key)
    }

    /// Any S3 endpoint, addressed by path.
    pub fn s3(
        endpoint: impl Into<String>,
        bucket: impl Into<String>,
        region: impl Into<String>,
        write_key: AccessKey,
        read_key: AccessKey,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            region: region.into(),
            addressing: Addressing::Path,
            write_key,
            read_key,
            connect_ms: 5_000,
            request_ms: 60_000,
            part_bytes: 64 << 20,
        }
    }

    /// The address that objects' paths are appended to, as the library wants it.
    pub(super) fn checked_endpoint(&self) -> Result<String, BucketConfigError> {
        let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if self.bucket.is_empty() || !self.bucket.bytes().all(name) {
            return Err(BucketConfigError::Bucket(self.bucket.clone()));
        }
        for (which, key) in [("write", &self.write_key), ("read", &self.read_key)] {
            if key.id.expose_secret().is_empty() || key.secret.expose_secret().is_empty() {
                return Err(BucketConfigError::Key(which));
            }
        }
        if self.part_bytes < 5 << 20 {
            return Err(BucketConfigError::PartBytes);
        }
        self.addressed()
    }

    fn addressed(&self) -> Result<String, BucketConfigError> {
        let mut url: reqwest::Url = self.endpoint.parse().map_err(|_| BucketConfigError::Endpoint)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let host = url.host_str().filter(|_| bare && matches!(url.scheme(), "http" | "https"));
        let host = host.ok_or(BucketConfigError::Endpoint)?;
        if self.addressing == Addressing::VirtualHost {
            let host = format!("{}.{host}", self.bucket);
            url.set_host(Some(&host)).map_err(|_| BucketConfigError::VirtualHost)?;
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str, bucket: &str) -> BucketConfig {
        BucketConfig::s3(endpoint, bucket, "auto", AccessKey::new("id", "secret"), AccessKey::new("id", "secret"))
    }

    #[test]
    fn r2_is_named_as_its_account() {
        let key = || AccessKey::new("id", "secret");
        let config = BucketConfig::r2("0123abcd", key(), key());
        assert_eq!(config.checked_endpoint().unwrap(), "https://0123abcd.r2.cloudflarestorage.com");
        assert_eq!((config.bucket.as_str(), config.region.as_str()), ("0123abcd", "auto"));
    }

    #[test]
    fn the_bucket_may_stand_in_the_host() {
        let mut config = config("https://s3.example.org:9000/", "mine");
        assert_eq!(config.checked_endpoint().unwrap(), "https://s3.example.org:9000");
        config.addressing = Addressing::VirtualHost;
        assert_eq!(config.checked_endpoint().unwrap(), "https://mine.s3.example.org:9000");
        config.endpoint = "http://127.0.0.1:9000".to_owned();
        assert!(matches!(config.checked_endpoint(), Err(BucketConfigError::VirtualHost)));
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        for endpoint in ["", "s3.example.org", "ftp://s3.example.org", "https://me:pass@host", "https://host/?a=b"] {
            let error = config(endpoint, "b").checked_endpoint().unwrap_err();
            assert!(matches!(error, BucketConfigError::Endpoint), "{endpoint}");
            assert!(!error.to_string().contains("pass"), "{error}");
        }
        for bucket in ["", "Mine", "a b", "a/b"] {
            assert!(
                matches!(config("https://h", bucket).checked_endpoint(), Err(BucketConfigError::Bucket(_))),
                "{bucket}"
            );
        }
        let mut keyless = config("https://h", "b");
        keyless.read_key = AccessKey::new("id", "");
        assert!(matches!(keyless.checked_endpoint(), Err(BucketConfigError::Key("read"))));
        let mut tiny = config("https://h", "b");
        tiny.part_bytes = 1 << 20;
        assert!(matches!(tiny.checked_endpoint(), Err(BucketConfigError::PartBytes)));
    }
}
