//! The bucket against a real S3 server that checks signatures, permissions and conditions, on loopback.

#![allow(clippy::disallowed_methods, reason = "the server is a peer of the code under test, on a thread of its own")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use async_trait::async_trait;
use grail::live::bucket::{AccessKey, BucketConfig, S3Bucket};
use grail_miner::contract;
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use sha2::{Digest, Sha256};

const BUCKET: &str = "mine";
const KEY: &str = "grail/windows/5abc-window-30.json.gz";
const WRITE: (&str, &str) = ("AKIDWRITER", "the-secret-of-the-writer");
const READ: (&str, &str) = ("AKIDREADER", "the-secret-of-the-reader");
const MIB: usize = 1 << 20;

struct S3Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
}

/// Whoever holds the read key may only read.
struct ReadersOnlyRead;

#[async_trait]
impl S3Access for ReadersOnlyRead {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let key = context.credentials().map(|credentials| credentials.access_key.clone());
        match key.as_deref() {
            Some(id) if id == WRITE.0 => Ok(()),
            Some(id) if id == READ.0 && context.method() == "GET" => Ok(()),
            _ => Err(s3_error!(AccessDenied)),
        }
    }
}

impl S3Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        let mut keys = SimpleAuth::new();
        for (id, secret) in [WRITE, READ] {
            keys.register(id.to_owned(), secret.into());
        }
        service.set_auth(keys);
        service.set_access(ReadersOnlyRead);
        let service = service.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                    tokio::spawn(connection);
                }
            })
        });
        Self { address, folder }
    }

    fn config(&self, write: (&str, &str), read: (&str, &str)) -> BucketConfig {
        let (write, read) = (AccessKey::new(write.0, write.1), AccessKey::new(read.0, read.1));
        BucketConfig::s3(format!("http://{}", self.address), BUCKET, "us-east-1", write, read)
    }

    fn bucket(&self) -> S3Bucket {
        S3Bucket::new(self.config(WRITE, READ)).unwrap()
    }

    /// A bucket that writes everything above 5 MiB in parts.
    fn in_parts(&self) -> S3Bucket {
        S3Bucket::new(BucketConfig { part_bytes: 5 * MIB, ..self.config(WRITE, READ) }).unwrap()
    }

    /// Everything that the server keeps beside objects, by name.
    fn bookkeeping(&self, part_of_name: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name.contains(part_of_name)).collect()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn random_bytes(length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).flat_map(|at| Sha256::digest(at.to_le_bytes()));
    blocks.take(length).collect()
}

#[test]
fn the_contract_holds() {
    let server = S3Server::start();
    block_on(contract::bucket(&server.bucket(), KEY));
}

#[test]
fn the_object_lies_where_validators_look_and_says_what_it_is() {
    let server = S3Server::start();
    block_on(server.bucket().put(KEY, b"content", &PutCondition::Absent)).unwrap();
    assert_eq!(std::fs::read(server.folder.path().join(BUCKET).join(KEY)).unwrap(), b"content");
    let told: String = told_about_objects(server.folder.path());
    assert!(told.contains(&hex::encode(Sha256::digest(b"content"))), "{told}");
    assert!(told.contains("application/gzip"), "{told}");
    assert!(!told.contains("\"content_encoding\":\""), "{told}");
}

fn told_about_objects(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn keys_that_may_not_are_refused_with_the_remedy() {
    let server = S3Server::start();
    let put = |write| {
        let bucket = S3Bucket::new(server.config(write, READ)).unwrap();
        block_on(bucket.put(KEY, b"x", &PutCondition::Absent)).unwrap_err()
    };
    for (write, remedy) in [
        (READ, "lacks permission"),
        ((WRITE.0, "another-secret"), "does not fit its id"),
        (("AKIDNOBODY", "whatever"), "does not know"),
    ] {
        let error = put(write);
        assert!(matches!(&error, BucketError::Refused(text) if text.contains(remedy)), "{error}");
    }
    let deaf = S3Bucket::new(server.config(WRITE, (READ.0, "another-secret"))).unwrap();
    block_on(deaf.put(KEY, b"x", &PutCondition::Absent)).unwrap();
    let error = block_on(deaf.get(KEY)).unwrap_err();
    assert!(matches!(&error, BucketError::Refused(text) if text.contains("does not fit its id")), "{error}");
    let reader = S3Bucket::new(server.config(READ, READ)).unwrap();
    assert!(matches!(block_on(reader.delete(KEY)), Err(BucketError::Refused(_))));
    assert!(block_on(reader.get(KEY)).unwrap().is_some());
}

#[test]
fn large_objects_go_in_parts_under_the_same_conditions() {
    let server = S3Server::start();
    let bucket = server.in_parts();
    let (first, second) = (random_bytes(12 * MIB + 7), random_bytes(10 * MIB));
    block_on(async {
        let tag = bucket.put(KEY, &first, &PutCondition::Absent).await.unwrap();
        assert!(bucket.get(KEY).await.unwrap() == Some((first.clone(), tag.clone())));
        let again = bucket.put(KEY, &second, &PutCondition::Absent).await;
        assert_eq!(again, Err(BucketError::ConditionFailed));
        let stale = PutCondition::Matches(Etag("\"0123\"".to_owned()));
        assert_eq!(bucket.put(KEY, &second, &stale).await, Err(BucketError::ConditionFailed));
        assert!(bucket.get(KEY).await.unwrap() == Some((first.clone(), tag.clone())), "a refused write left a trace");
        assert_eq!(server.bookkeeping(".upload"), [""; 0], "parts of a refused write were left");
        let tag = bucket.put(KEY, &second, &PutCondition::Matches(tag)).await.unwrap();
        assert!(bucket.get(KEY).await.unwrap() == Some((second, tag)));
    });
}

#[test]
fn a_version_that_is_not_there_matches_nothing() {
    let server = S3Server::start();
    let stale = |tag: &str| PutCondition::Matches(Etag(tag.to_owned()));
    for (bucket, length) in [(server.bucket(), 1_000), (server.in_parts(), 6 * MIB)] {
        let content = random_bytes(length);
        for tag in ["\"0123\"", "", "*", "\"*\"", "\n", "a\0b", "\"a\", \"b\"", "\u{e9}\r\n"] {
            let result = block_on(bucket.put(KEY, &content, &stale(tag)));
            assert_eq!(result, Err(BucketError::ConditionFailed), "{tag:?}");
        }
        assert_eq!(block_on(bucket.get(KEY)), Ok(None));
    }
    block_on(server.bucket().put(KEY, b"x", &PutCondition::Absent)).unwrap();
    for tag in ["\"0123\"", "*"] {
        let result = block_on(server.bucket().put(KEY, b"y", &stale(tag)));
        assert_eq!(result, Err(BucketError::ConditionFailed), "{tag:?}");
    }
    assert_eq!(block_on(server.bucket().get(KEY)).unwrap().unwrap().0, b"x");
}

#[test]
fn keys_with_odd_characters_arrive_as_they_are() {
    let server = S3Server::start();
    let bucket = server.bucket();
    for key in ["a b/c+d.json", "plain", "é/ü=1&x?y#z"] {
        block_on(contract::bucket(&bucket, key));
    }
    assert!(matches!(block_on(bucket.get("../escape")), Err(BucketError::Refused(_))));
}
