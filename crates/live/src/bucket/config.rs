//! Configuration of a bucket.

use grail_protocol::read_credentials::ReadCredentials;
use secrecy::{ExposeSecret, SecretString};

use super::transport::OBJECT_BYTES_MAX;
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
    /// Returns the key of these two halves.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: SecretString::from(id.into()), secret: SecretString::from(secret.into()) }
    }
}

/// Place of the bucket's name in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// First part of the path.
    #[default]
    Path,
    /// First label of the host.
    VirtualHost,
}

/// The address that validators read. It follows from the chain's commitment, not from the address for writes.
#[derive(Debug, Clone)]
pub struct ReadAddress {
    /// The server.
    pub endpoint: String,
    /// The bucket's name, which is the first part of the path: validators know no other way.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The committed key.
    pub key: AccessKey,
}

impl ReadAddress {
    /// Returns the address that validators build from the commitment; they read from this server and sign for this
    /// region.
    pub fn at(committed: &ReadCredentials, endpoint: impl Into<String>, region: impl Into<String>) -> Self {
        let ReadCredentials { account_id, access_key_id, secret_access_key } = committed.clone();
        let key = AccessKey::new(access_key_id, secret_access_key);
        Self { endpoint: endpoint.into(), bucket: account_id, region: region.into(), key }
    }

    /// Returns the bucket's address, without its key.
    pub fn url(&self) -> String {
        format!("{}/{}", self.endpoint.trim_end_matches('/'), self.bucket)
    }
}

/// Configuration of a bucket.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// The endpoint's address, without the bucket.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Place of the bucket's name in a request.
    pub addressing: Addressing,
    /// The key that writes and deletes.
    pub write_key: AccessKey,
    /// The key that reads, if there is no other address to read from.
    pub read_key: AccessKey,
    /// Address for reads; the address for writes if none.
    pub read_address: Option<ReadAddress>,
    /// Most bytes of an object that another program wrote, which may have any size.
    pub object_bytes_max: u64,
    /// After this long without a connection, a request has failed.
    pub connect_ms: u64,
    /// After this long, a request has failed.
    pub request_ms: u64,
    /// Objects above this size go in parts of it; stores want at least 5 MiB, R2 all parts but the last alike.
    pub part_bytes: usize,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketConfigError {
    /// Not an address. The error does not show it, because it may hold a password.
    #[error(
        "the endpoint is not the address of an S3 server; it must look like https://host, without user, path or query"
    )]
    Endpoint,
    /// The bucket's name cannot be in front of such a host.
    #[error("a bucket's name cannot precede an IP address; set R2_FORCE_PATH_STYLE=true")]
    VirtualHost,
    /// An empty or impossible name.
    #[error("{0:?} is not a bucket's name; it must be lower-case letters, digits, dots and hyphens")]
    Bucket(String),
    /// Half of a key is missing.
    #[error("the {0} key of the bucket is incomplete; give both its access key id and its secret")]
    Key(&'static str),
    /// Parts of nothing.
    #[error("parts are smaller than 5 MiB, which stores refuse; make them larger")]
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

    /// Returns any S3 endpoint, addressed by path.
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
            read_address: None,
            object_bytes_max: OBJECT_BYTES_MAX,
            connect_ms: 5_000,
            request_ms: 60_000,
            part_bytes: 64 << 20,
        }
    }

    /// Returns the bucket's address behind its checked endpoint.
    pub(super) fn url(&self, checked_endpoint: &str) -> String {
        match self.addressing {
            Addressing::Path => format!("{checked_endpoint}/{}", self.bucket),
            Addressing::VirtualHost => checked_endpoint.to_owned(),
        }
    }

    /// Returns the address that objects' paths are appended to, as the library wants it.
    pub(super) fn checked_endpoint(&self) -> Result<String, BucketConfigError> {
        check_bucket(&self.bucket)?;
        check_key("write", &self.write_key)?;
        check_key("read", &self.read_key)?;
        if self.part_bytes < 5 << 20 {
            return Err(BucketConfigError::PartBytes);
        }
        let mut url = server(&self.endpoint)?;
        if self.addressing == Addressing::VirtualHost {
            let host = format!("{}.{}", self.bucket, url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|_| BucketConfigError::VirtualHost)?;
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

impl ReadAddress {
    /// Returns the server's address as the library wants it.
    pub(super) fn checked_endpoint(&self) -> Result<String, BucketConfigError> {
        check_bucket(&self.bucket)?;
        check_key("read", &self.key)?;
        Ok(server(&self.endpoint)?.as_str().trim_end_matches('/').to_owned())
    }
}

fn check_bucket(name: &str) -> Result<(), BucketConfigError> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    match !name.is_empty() && name.bytes().all(is_allowed) {
        true => Ok(()),
        false => Err(BucketConfigError::Bucket(name.to_owned())),
    }
}

fn check_key(which: &'static str, key: &AccessKey) -> Result<(), BucketConfigError> {
    match key.id.expose_secret().is_empty() || key.secret.expose_secret().is_empty() {
        true => Err(BucketConfigError::Key(which)),
        false => Ok(()),
    }
}

/// Returns a server's address. Anything else in it would become part of each object's address, where no validator
/// reads.
fn server(endpoint: &str) -> Result<reqwest::Url, BucketConfigError> {
    let url: reqwest::Url = endpoint.parse().map_err(|_| BucketConfigError::Endpoint)?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_bare = is_bare && url.fragment().is_none() && url.path() == "/";
    match is_bare && url.host_str().is_some() && matches!(url.scheme(), "http" | "https") {
        true => Ok(url),
        false => Err(BucketConfigError::Endpoint),
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
    fn validators_read_by_path_however_the_miner_writes() {
        let committed = format!("{:<32}{:<32}{:<64}", "0123abcd", "an-id", "a-secret");
        let committed = ReadCredentials::parse(committed.as_bytes()).unwrap();
        let own = ReadAddress::at(&committed, "http://127.0.0.1:9000/", "here");
        assert_eq!((own.url().as_str(), own.region.as_str()), ("http://127.0.0.1:9000/0123abcd", "here"));
        assert_eq!(own.key.id.expose_secret(), "an-id");
        assert_eq!(own.checked_endpoint().unwrap(), "http://127.0.0.1:9000");
        let wrong = ReadAddress::at(&committed, "http://127.0.0.1:9000/0123abcd", "here");
        assert!(matches!(wrong.checked_endpoint(), Err(BucketConfigError::Endpoint)));
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
    fn impossible_settings_are_refused() {
        for endpoint in ["", "s3.example.org", "ftp://s3.example.org", "https://me:pass@host", "https://host/?a=b"]
            .into_iter()
            .chain(["https://host/mine", "https://host/mine/", "https://host/#a"])
        {
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
