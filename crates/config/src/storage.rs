//! The bucket: where it is, who may write, and the read credentials that go on the chain.

use grail_protocol::read_credentials::{PUBLIC_REGION, ReadCredentials};
use secrecy::{ExposeSecret, SecretString};

use super::endpoint::EndpointUrl;
use super::error::{ConfigError, CredentialsError};
use super::network::Network;
use super::notice::Notice;
use super::raw::parse_switch;
use super::reader::Reader;
use super::store_address::StoreAddress;

/// Length of the read credentials on the chain.
pub const CREDENTIALS_BYTES: usize = 128;

const ACCOUNT_ID: &str = "R2_ACCOUNT_ID";
const ENDPOINT: &str = "R2_ENDPOINT_URL";
const REGION: &str = "R2_REGION";
/// All of R2 is one region, `auto`. It accepts us-east-1 and the location hints as the same region.
const REGIONS_OF_R2: [&str; 8] = ["auto", "us-east-1", "wnam", "enam", "weur", "eeur", "apac", "oc"];
const READ_ID: &str = "R2_READ_ACCESS_KEY_ID";
const READ_SECRET: &str = "R2_READ_SECRET_ACCESS_KEY";
const WRITE_ID: &str = "R2_WRITE_ACCESS_KEY_ID";
const WRITE_SECRET: &str = "R2_WRITE_SECRET_ACCESS_KEY";
const READ_REMEDY: &str =
    "create an R2 token with the permission `Object Read only` and copy its key; it is published on the chain";
const WRITE_REMEDY: &str = "create an R2 token with the permission `Object Read & Write` and copy its key";

/// The bucket for window files.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// The account, which is the bucket's name too: validators know no other.
    pub account_id: String,
    /// The server that is written to.
    pub endpoint: EndpointUrl,
    /// The server that validators read from, on a network of the operator's own. On a public network it follows from the
    /// account alone.
    pub validators_endpoint: Option<EndpointUrl>,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket is in the path instead of the host name.
    pub force_path_style: bool,
    /// The key that validators read with; it is published.
    pub read: AccessKey,
    /// The write key.
    pub write: AccessKey,
}

/// Address and key with which validators read.
#[derive(Debug, Clone)]
pub struct ReadPlace {
    /// The read credentials on the chain.
    pub credentials: ReadCredentials,
    /// The server, to which they add `/BUCKET/OBJECT`.
    pub server: String,
    /// The region that they sign for.
    pub region: String,
}

/// A key of the bucket.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Which key.
    pub id: SecretString,
    /// Its secret.
    pub secret: SecretString,
}

impl StorageConfig {
    /// Returns the bucket's name.
    pub fn name(&self) -> &str {
        &self.account_id
    }

    /// Returns the 128 bytes that go on the chain: account id, read key id and read secret in fields of 32, 32 and 64
    /// bytes, each filled up with spaces.
    ///
    /// # Errors
    /// [`CredentialsError`] if one does not fit its field.
    pub fn read_credentials(&self) -> Result<[u8; CREDENTIALS_BYTES], CredentialsError> {
        let mut bytes = [b' '; CREDENTIALS_BYTES];
        let (account, keys) = bytes.split_at_mut(32);
        let (id, secret) = keys.split_at_mut(32);
        fill(account, ACCOUNT_ID, &self.account_id)?;
        fill(id, READ_ID, self.read.id.expose_secret())?;
        fill(secret, READ_SECRET, self.read.secret.expose_secret())?;
        Ok(bytes)
    }

    /// Returns the address that validators read. It follows from the committed bytes alone, and on a custom network
    /// also from the shared server.
    ///
    /// # Errors
    /// [`CredentialsError`] if the read key does not fit on the chain.
    pub fn read_place(&self) -> Result<ReadPlace, CredentialsError> {
        let committed = self.read_credentials()?;
        let credentials = ReadCredentials::parse(&committed).ok_or(CredentialsError::Empty)?;
        let (server, region) = match &self.validators_endpoint {
            None => (credentials.public_endpoint(), PUBLIC_REGION.to_owned()),
            Some(endpoint) => (endpoint.expose().to_owned(), self.region.clone()),
        };
        Ok(ReadPlace { credentials, server, region })
    }
}

fn fill(field: &mut [u8], name: &'static str, text: &str) -> Result<(), CredentialsError> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CredentialsError::NotAscii { name });
    }
    let (bytes, bytes_max) = (text.len(), field.len());
    let start = field.get_mut(..bytes).ok_or(CredentialsError::TooLong { name, bytes, bytes_max })?;
    start.copy_from_slice(text.as_bytes());
    Ok(())
}

pub(super) fn read(reader: &mut Reader<'_>, network: Option<Network>) -> Option<StorageConfig> {
    let account_id = read_account_id(reader);
    let endpoint = read_endpoint(reader, account_id.as_deref(), network);
    let region = read_region(reader);
    let force_path_style = reader.parsed("R2_FORCE_PATH_STYLE", "true or false", parse_switch);
    let read = read_key(reader, [READ_ID, READ_SECRET], READ_REMEDY);
    let write = read_key(reader, [WRITE_ID, WRITE_SECRET], WRITE_REMEDY);
    check_keys_differ(reader);
    let storage = StorageConfig {
        account_id: account_id?,
        endpoint: endpoint.clone()?,
        validators_endpoint: endpoint.filter(|_| network == Some(Network::Custom)),
        region: region?,
        force_path_style: force_path_style?,
        read: read?,
        write: write?,
    };
    reader.keep(storage.read_credentials().map_err(ConfigError::from))?;
    Some(storage)
}

fn read_account_id(reader: &mut Reader<'_>) -> Option<String> {
    let remedy = "copy the account id from the R2 dashboard, and create a bucket of the same name";
    let account = reader.required(ACCOUNT_ID, remedy)?;
    if let Some(bucket) = reader.text("R2_BUCKET_ID").filter(|bucket| *bucket != account) {
        let (bucket, account) = (bucket.to_owned(), account.to_owned());
        reader.errors.push(ConfigError::OtherBucket { bucket, account });
    }
    let is_at_cloudflare = reader.typed.get(ENDPOINT).is_none();
    let is_cloudflare_id = account.len() == 32 && account.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_bucket_name =
        (3..=32).contains(&account.len()) && account.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'-'));
    if is_at_cloudflare && !is_cloudflare_id {
        reader.refuse(ACCOUNT_ID, "the 32 hex digits that the R2 dashboard shows as account id");
    } else if !is_bucket_name {
        reader.refuse(ACCOUNT_ID, "3 to 32 lower-case letters, digits and hyphens: it names the bucket too");
    }
    Some(account.to_owned())
}

fn read_endpoint(reader: &mut Reader<'_>, account: Option<&str>, network: Option<Network>) -> Option<EndpointUrl> {
    let bucket = account?;
    let validators_read = EndpointUrl::parse(&format!("https://{bucket}.r2.cloudflarestorage.com"), &["https"]);
    if reader.typed.get(ENDPOINT).is_none() {
        return validators_read;
    }
    let StoreAddress { server, named_bucket } = match StoreAddress::parse(reader.text(ENDPOINT)?, bucket) {
        Ok(address) => address,
        Err(mistake) => {
            reader.refuse(ENDPOINT, mistake.expected());
            return None;
        }
    };
    if named_bucket {
        let what = format!("holds the bucket's name, which belongs to no server and is left out: set it to {server}");
        reader.notices.push(Notice::Doubtful { name: ENDPOINT, what });
    }
    if network != Some(Network::Custom) && Some(&server) != validators_read.as_ref() {
        let what =
            format!("is {server}, and validators read from Cloudflare R2: take it out unless both are the same bucket");
        reader.notices.push(Notice::Doubtful { name: ENDPOINT, what });
    }
    Some(server)
}

fn read_region(reader: &mut Reader<'_>) -> Option<String> {
    let region = reader.text(REGION)?.to_owned();
    if reader.typed.get(ENDPOINT).is_none() && !REGIONS_OF_R2.contains(&region.as_str()) {
        let what =
            format!("is {region}, and Cloudflare R2 knows no region of that name: take it out, or set it to auto");
        reader.notices.push(Notice::Doubtful { name: REGION, what });
    }
    Some(region)
}

fn read_key(reader: &mut Reader<'_>, [id, secret]: [&'static str; 2], remedy: &'static str) -> Option<AccessKey> {
    let [id, secret] = [id, secret].map(|name| reader.required(name, remedy).map(SecretString::from));
    Some(AccessKey { id: id?, secret: secret? })
}

fn check_keys_differ(reader: &mut Reader<'_>) {
    for (read, write) in [(READ_ID, WRITE_ID), (READ_SECRET, WRITE_SECRET)] {
        let value = |name| reader.typed.get(name).map(|setting| setting.won.value.expose_secret());
        if value(read).is_some() && value(read) == value(write) {
            reader.errors.push(ConfigError::WriteKeyPublished { read, write });
        }
    }
}
