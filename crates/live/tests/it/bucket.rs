//! The bucket against a real S3 server that checks signatures, permissions and conditions, on loopback.

use grail_contract as contract;
use grail_live::bucket::{AccessKey, BucketConfig, ReadAddress, S3Bucket};
use grail_loopback::s3::{BUCKET, READ, S3Server, WRITE, block_on};
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};
use grail_protocol::read_credentials::ReadCredentials;
use sha2::{Digest, Sha256};

/// Returns the server's bucket under these keys.
pub(super) fn config(server: &S3Server, write: (&str, &str), read: (&str, &str)) -> BucketConfig {
    let (write, read) = (AccessKey::new(write.0, write.1), AccessKey::new(read.0, read.1));
    BucketConfig::s3(server.url(), BUCKET, "us-east-1", write, read)
}

const KEY: &str = "grail/windows/5abc-window-30.json.gz";
const MIB: usize = 1 << 20;
const PUT_MS_MAX: u64 = 60_000;

/// Returns the server's bucket under its own keys.
pub(super) fn bucket(server: &S3Server) -> S3Bucket {
    S3Bucket::new(config(server, WRITE, READ)).unwrap()
}

/// Returns a bucket that writes everything above 5 MiB in parts.
fn in_parts(server: &S3Server) -> S3Bucket {
    S3Bucket::new(BucketConfig { part_bytes: 5 * MIB, ..config(server, WRITE, READ) }).unwrap()
}

fn random_bytes(length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).flat_map(|at| Sha256::digest(at.to_le_bytes()));
    blocks.take(length).collect()
}

#[test]
fn the_contract_holds() {
    let server = S3Server::start();
    block_on(contract::bucket(&bucket(&server), KEY));
}

#[test]
fn the_object_lies_where_validators_look_and_says_what_it_is() {
    let server = S3Server::start();
    block_on(bucket(&server).put(KEY, b"content", &PutCondition::Absent, PUT_MS_MAX)).unwrap();
    assert_eq!(std::fs::read(server.folder.path().join(BUCKET).join(KEY)).unwrap(), b"content");
    let files = std::fs::read_dir(server.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let reported: String = files.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    assert!(reported.contains(&hex::encode(Sha256::digest(b"content"))), "{reported}");
    assert!(reported.contains("application/gzip"), "{reported}");
    assert!(!reported.contains("\"content_encoding\":\""), "{reported}");
}

/// Returns the bytes that a miner commits for this key.
pub(super) fn committed((id, secret): (&str, &str)) -> Vec<u8> {
    format!("{BUCKET:<32}{id:<32}{secret:<64}").into_bytes()
}

/// Returns the address that a validator of a network with this server builds from the bytes that a miner commits.
fn validators_address(server: &S3Server) -> ReadAddress {
    let committed = ReadCredentials::parse(&committed(READ)).unwrap();
    ReadAddress::at(&committed, format!("http://{}", server.address), "us-east-1")
}

#[test]
fn only_what_lies_where_validators_read_is_read() {
    let [ours, another] = [S3Server::start(), S3Server::start()];
    let reading_from = |server: &S3Server| {
        let read_address = Some(validators_address(server));
        // The key here is not the one that is read with.
        S3Bucket::new(BucketConfig { read_address, ..config(&ours, WRITE, ("NOBODY", "nothing")) }).unwrap()
    };
    let (right, wrong) = (reading_from(&ours), reading_from(&another));
    block_on(async {
        right.put(KEY, b"content", &PutCondition::Absent, PUT_MS_MAX).await.unwrap();
        assert_eq!(right.get(KEY).await.unwrap().unwrap().0, b"content");
        // The write succeeds, its condition is kept, and no validator would find it.
        wrong.put(&format!("{KEY}-2"), b"content", &PutCondition::Absent, PUT_MS_MAX).await.unwrap();
        let again = wrong.put(&format!("{KEY}-2"), b"x", &PutCondition::Absent, PUT_MS_MAX).await;
        assert_eq!(again, Err(BucketError::ConditionFailed));
        assert_eq!(wrong.get(&format!("{KEY}-2")).await, Ok(None));
    });
    assert_eq!(right.read_url, format!("http://{}/{BUCKET}", ours.address));
    assert_eq!(wrong.read_url, format!("http://{}/{BUCKET}", another.address));
}

#[test]
fn an_object_can_be_written_in_parts_to_see_whether_it_can() {
    let server = S3Server::start();
    block_on(bucket(&server).try_parts(KEY, b"content", PUT_MS_MAX)).unwrap();
    assert_eq!(block_on(bucket(&server).get(KEY)), Ok(None));
    assert_eq!(server.bookkeeping(".upload"), [""; 0], "parts were left");
}

#[test]
fn keys_that_may_not_are_refused_with_the_remedy() {
    let server = S3Server::start();
    let put = |write| {
        let bucket = S3Bucket::new(config(&server, write, READ)).unwrap();
        block_on(bucket.put(KEY, b"x", &PutCondition::Absent, PUT_MS_MAX)).unwrap_err()
    };
    for (write, remedy) in [
        (READ, "lacks permission"),
        ((WRITE.0, "another-secret"), "does not fit its id"),
        (("AKIDNOBODY", "whatever"), "does not know"),
    ] {
        let error = put(write);
        assert!(matches!(&error, BucketError::Refused(text) if text.contains(remedy)), "{error}");
    }
    let deaf = S3Bucket::new(config(&server, WRITE, (READ.0, "another-secret"))).unwrap();
    block_on(deaf.put(KEY, b"x", &PutCondition::Absent, PUT_MS_MAX)).unwrap();
    let error = block_on(deaf.get(KEY)).unwrap_err();
    assert!(matches!(&error, BucketError::Refused(text) if text.contains("does not fit its id")), "{error}");
    let reader = S3Bucket::new(config(&server, READ, READ)).unwrap();
    assert!(matches!(block_on(reader.delete(KEY)), Err(BucketError::Refused(_))));
    assert!(block_on(reader.get(KEY)).unwrap().is_some());
}

#[test]
fn large_objects_go_in_parts_under_the_same_conditions() {
    let server = S3Server::start();
    let bucket = in_parts(&server);
    let (first, second) = (random_bytes(12 * MIB + 7), random_bytes(10 * MIB));
    block_on(async {
        let tag = bucket.put(KEY, &first, &PutCondition::Absent, PUT_MS_MAX).await.unwrap();
        assert!(bucket.get(KEY).await.unwrap() == Some((first.clone(), tag.clone())));
        let again = bucket.put(KEY, &second, &PutCondition::Absent, PUT_MS_MAX).await;
        assert_eq!(again, Err(BucketError::ConditionFailed));
        let stale = PutCondition::Matches(Etag("\"0123\"".to_owned()));
        assert_eq!(bucket.put(KEY, &second, &stale, PUT_MS_MAX).await, Err(BucketError::ConditionFailed));
        assert!(bucket.get(KEY).await.unwrap() == Some((first.clone(), tag.clone())), "a refused write left a trace");
        assert_eq!(server.bookkeeping(".upload"), [""; 0], "parts of a refused write were left");
        let tag = bucket.put(KEY, &second, &PutCondition::Matches(tag), PUT_MS_MAX).await.unwrap();
        assert!(bucket.get(KEY).await.unwrap() == Some((second, tag)));
    });
}

#[test]
fn objects_above_64_mib_are_sent_in_equal_parts() {
    let server = S3Server::start();
    let bucket = bucket(&server);
    let content = random_bytes(64 * MIB + 5);
    let (tag, read) = block_on(async {
        let tag = bucket.put(KEY, &content, &PutCondition::Absent, PUT_MS_MAX).await.unwrap();
        (tag, bucket.get(KEY).await.unwrap().unwrap())
    });
    assert!(read == (content, tag));
    assert_eq!(server.bookkeeping(".upload"), [""; 0], "parts were left");
}

#[test]
fn a_version_that_is_not_there_matches_nothing() {
    let server = S3Server::start();
    let stale = |tag: &str| PutCondition::Matches(Etag(tag.to_owned()));
    for (store, length) in [(bucket(&server), 1_000), (in_parts(&server), 6 * MIB)] {
        let content = random_bytes(length);
        for tag in ["\"0123\"", "", "*", "\"*\"", "\n", "a\0b", "\"a\", \"b\"", "\u{e9}\r\n"] {
            let result = block_on(store.put(KEY, &content, &stale(tag), PUT_MS_MAX));
            assert_eq!(result, Err(BucketError::ConditionFailed), "{tag:?}");
        }
        assert_eq!(block_on(store.get(KEY)), Ok(None));
    }
    block_on(bucket(&server).put(KEY, b"x", &PutCondition::Absent, PUT_MS_MAX)).unwrap();
    for tag in ["\"0123\"", "*"] {
        let result = block_on(bucket(&server).put(KEY, b"y", &stale(tag), PUT_MS_MAX));
        assert_eq!(result, Err(BucketError::ConditionFailed), "{tag:?}");
    }
    assert_eq!(block_on(bucket(&server).get(KEY)).unwrap().unwrap().0, b"x");
}

#[test]
fn keys_with_odd_characters_arrive_as_they_are() {
    let server = S3Server::start();
    let bucket = bucket(&server);
    for key in ["a b/c+d.json", "plain", "é/ü=1&x?y#z"] {
        block_on(contract::bucket(&bucket, key));
    }
    assert!(matches!(block_on(bucket.get("../escape")), Err(BucketError::Refused(_))));
}
