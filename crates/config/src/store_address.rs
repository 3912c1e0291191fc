//! The address of the bucket's server, parsed from text that people copy from a dashboard.

use url::{Host, Url};

use super::endpoint::EndpointUrl;

/// Hosts under this one belong to Cloudflare R2; its accounts have their own host, with or without a jurisdiction.
const R2: &str = "r2.cloudflarestorage.com";
const JURISDICTIONS: [&str; 2] = ["eu", "fedramp"];

/// A server, to which validators add `/BUCKET/OBJECT`.
#[derive(Debug, PartialEq)]
pub(super) struct StoreAddress {
    pub(super) server: EndpointUrl,
    /// Whether the bucket's name stood in the address and was left out.
    pub(super) named_bucket: bool,
}

/// Why a text is not the address of a server alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressMistake {
    NotHttp,
    User,
    Query,
    Path,
    BucketInHost,
}

impl AddressMistake {
    /// Returns the expected text.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::NotHttp => "the http:// or https:// address of an S3 server, or take it out for Cloudflare R2",
            Self::User => "the S3 server's address without a user or password; keys belong in R2_READ_* and R2_WRITE_*",
            Self::Query => "the S3 server's address alone, such as https://host:9000; it has a query or a fragment",
            Self::Path => {
                "the S3 server's address alone, such as https://host:9000; it has a path, and validators read \
                 SERVER/BUCKET/OBJECT"
            }
            Self::BucketInHost => {
                "the S3 server's address without the bucket's name in front of the host; validators read \
                 SERVER/BUCKET/OBJECT"
            }
        }
    }
}

impl StoreAddress {
    /// Reads an address. The bucket's name as the whole path is left out, and so it is in front of an R2 account's host;
    /// everything else that is not part of a server's address is refused.
    pub(super) fn parse(text: &str, bucket: &str) -> Result<Self, AddressMistake> {
        let url = Url::parse(text).map_err(|_| AddressMistake::NotHttp)?;
        let host = url.host().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or(AddressMistake::NotHttp)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressMistake::User);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressMistake::Query);
        }
        let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
        let in_path = match parts.as_slice() {
            [] => false,
            [only] if *only == bucket => true,
            _ => return Err(AddressMistake::Path),
        };
        let (host, in_host) = without_bucket(&host, bucket)?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let server = EndpointUrl::parse(&format!("{}://{host}{port}", url.scheme()), &["http", "https"]);
        Ok(Self { server: server.ok_or(AddressMistake::NotHttp)?, named_bucket: in_path || in_host })
    }
}

/// Returns the server's own host, and whether the bucket's name was before it.
fn without_bucket(host: &Host<&str>, bucket: &str) -> Result<(String, bool), AddressMistake> {
    let whole = (host.to_string(), false);
    let Host::Domain(domain) = host else { return Ok(whole) };
    let behind = |name: &str| name.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
    match behind(domain) {
        None => Ok(whole),
        // An account's own host, which starts with the bucket's name because both have the same.
        Some(rest) if is_r2(&rest) => Ok(whole),
        Some(rest) if behind(&rest).is_some_and(|after| is_r2(&after)) => Ok((rest, true)),
        Some(_) => Err(AddressMistake::BucketInHost),
    }
}

fn is_r2(host: &str) -> bool {
    let jurisdiction = host.strip_suffix(R2).and_then(|rest| rest.strip_suffix('.'));
    host == R2 || jurisdiction.is_some_and(|name| JURISDICTIONS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: &str = "0123456789abcdef0123456789abcdef";

    fn read(text: &str) -> Result<(String, bool), AddressMistake> {
        let text = text.replace("BUCKET", BUCKET);
        let address = StoreAddress::parse(&text, BUCKET)?;
        Ok((address.server.expose().replace(BUCKET, "BUCKET"), address.named_bucket))
    }

    #[test]
    fn a_server_without_more_is_taken_unchanged() {
        for (text, server) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("https://S3.Example.org:443", "https://s3.example.org"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://minio:9000", "http://minio:9000"),
            ("https://BUCKET.r2.cloudflarestorage.com", "https://BUCKET.r2.cloudflarestorage.com"),
            ("https://BUCKET.eu.r2.cloudflarestorage.com/", "https://BUCKET.eu.r2.cloudflarestorage.com"),
        ] {
            assert_eq!(read(text), Ok((server.to_owned(), false)), "{text}");
        }
    }

    #[test]
    fn the_name_of_the_bucket_is_left_out_and_reported() {
        for (text, server) in [
            ("http://127.0.0.1:9000/BUCKET", "http://127.0.0.1:9000"),
            ("http://127.0.0.1:9000//BUCKET/", "http://127.0.0.1:9000"),
            ("https://BUCKET.r2.cloudflarestorage.com/BUCKET", "https://BUCKET.r2.cloudflarestorage.com"),
            ("https://BUCKET.BUCKET.r2.cloudflarestorage.com", "https://BUCKET.r2.cloudflarestorage.com"),
        ] {
            assert_eq!(read(text), Ok((server.to_owned(), true)), "{text}");
        }
    }

    #[test]
    fn addresses_with_more_than_a_server_are_refused() {
        for (text, mistake) in [
            ("s3.example.org", AddressMistake::NotHttp),
            ("ftp://s3.example.org", AddressMistake::NotHttp),
            ("http://", AddressMistake::NotHttp),
            ("http://user@s3.example.org", AddressMistake::User),
            ("http://user:planted@s3.example.org", AddressMistake::User),
            ("http://s3.example.org?region=x", AddressMistake::Query),
            ("http://s3.example.org/#x", AddressMistake::Query),
            ("http://s3.example.org/another", AddressMistake::Path),
            ("http://s3.example.org/BUCKET/grail", AddressMistake::Path),
            ("http://s3.example.org/minio/BUCKET", AddressMistake::Path),
            ("https://BUCKET.s3.example.org", AddressMistake::BucketInHost),
            ("https://BUCKET.s3.eu-central-1.amazonaws.com", AddressMistake::BucketInHost),
        ] {
            assert_eq!(read(text), Err(mistake), "{text}");
            assert!(!mistake.expected().contains(": "), "doctor splits a message there");
        }
    }
}
