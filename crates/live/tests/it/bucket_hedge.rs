//! A put whose first attempt is silent or broke: what is checked, what is sent again, and when nothing more is sent.

use std::time::{Duration, Instant};

use grail_live::bucket::{AccessKey, BucketConfig, S3Bucket};
use grail_loopback::s3::block_on;
use grail_loopback::scripted::{Answer, Server, response};
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};
use sha2::{Digest, Sha256};

const KEY: &str = "grail/windows/5abc-window-30.json.gz";
const CONTENT: &[u8] = b"a window";
/// Long enough for everything but silence, which takes a third of it.
const LIMIT_MS: u64 = 3_000;

fn config(server: &Server) -> BucketConfig {
    let key = || AccessKey::new("AKID", "secret");
    BucketConfig { request_ms: 30_000, ..BucketConfig::s3(server.url(), "mine", "auto", key(), key()) }
}

fn put(server: &Server, condition: &PutCondition) -> Result<Etag, BucketError> {
    let bucket = S3Bucket::new(config(server)).unwrap();
    block_on(bucket.put(KEY, CONTENT, condition, LIMIT_MS))
}

/// Returns a server with one answer per request, in order; it resets further requests.
fn script(answers: Vec<Answer>) -> Server {
    let answers = std::sync::Mutex::new(answers.into_iter());
    Server::start(move |_| answers.lock().unwrap().next().unwrap_or(Answer::Reset))
}

fn methods(server: &Server) -> Vec<String> {
    server.requests().iter().filter_map(|head| head.split(' ').next()).map(str::to_owned).collect()
}

fn written(tag: &str) -> Answer {
    response("200 OK", &format!("ETag: {tag}\r\n"), b"")
}

fn missing() -> Answer {
    Answer::Bytes(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n".to_vec())
}

/// Returns the answer to a read: an object of this version and content.
fn lies_there(tag: &str, content: &[u8]) -> Answer {
    let (length, digest) = (content.len(), hex::encode(Sha256::digest(content)));
    let head = format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {length}\r\nx-amz-meta-sha256: {digest}\r\n");
    Answer::Bytes(format!("{head}Last-Modified: Sun, 22 Nov 2026 15:00:00 GMT\r\nConnection: close\r\n\r\n").into())
}

fn refused() -> Answer {
    let body = b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>";
    response("412 Precondition Failed", "", body)
}

fn tag(text: &str) -> Etag {
    Etag(text.to_owned())
}

#[test]
fn a_write_that_did_not_happen_is_sent_again_under_the_same_condition() {
    for first in [Answer::Silence, Answer::Reset, response("500 Oops", "", b"")] {
        let server = script(vec![first, missing(), written("\"2\"")]);
        assert_eq!(put(&server, &PutCondition::Absent), Ok(tag("\"2\"")));
        assert_eq!(methods(&server), ["PUT", "HEAD", "PUT"]);
        for head in [0, 2].map(|at| server.requests()[at].to_ascii_lowercase()) {
            assert!(head.contains("\r\nif-none-match: *\r\n") && head.contains("\r\nauthorization: aws4"), "{head}");
        }
    }
}

#[test]
fn a_write_that_happened_is_not_sent_again() {
    for first in [Answer::Silence, Answer::Reset] {
        let server = script(vec![first, lies_there("\"1\"", CONTENT)]);
        assert_eq!(put(&server, &PutCondition::Absent), Ok(tag("\"1\"")));
        assert_eq!(methods(&server), ["PUT", "HEAD"]);
    }
}

#[test]
fn an_older_file_of_ours_is_replaced() {
    let old = PutCondition::Matches(tag("\"old\""));
    let server = script(vec![Answer::Reset, lies_there("\"old\"", b"an older window"), written("\"new\"")]);
    assert_eq!(put(&server, &old), Ok(tag("\"new\"")));
    assert!(server.requests()[2].to_ascii_lowercase().contains("\r\nif-match: \"old\"\r\n"));
}

#[test]
fn our_own_earlier_attempt_is_no_other_writer() {
    let server = script(vec![Answer::Silence, missing(), refused(), lies_there("\"1\"", CONTENT)]);
    assert_eq!(put(&server, &PutCondition::Absent), Ok(tag("\"1\"")));
    let server = script(vec![Answer::Silence, missing(), refused(), lies_there("\"1\"", b"another's window")]);
    assert_eq!(put(&server, &PutCondition::Absent), Err(BucketError::ConditionFailed));
    let server = script(vec![refused()]);
    assert_eq!(put(&server, &PutCondition::Absent), Err(BucketError::ConditionFailed));
    assert_eq!(methods(&server), ["PUT"], "nothing of ours can be there");
}

#[test]
fn nothing_is_sent_again_blindly() {
    let denied = Answer::Bytes(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n".to_vec());
    for look in [denied, Answer::Reset, Answer::Silence] {
        let server = script(vec![Answer::Reset, look]);
        let result = put(&server, &PutCondition::Absent);
        assert!(matches!(result, Err(BucketError::Unknown(_))), "{result:?}");
        assert_eq!(methods(&server), ["PUT", "HEAD"]);
    }
}

#[test]
fn the_limit_ends_everything() {
    let server = Server::always(Answer::Silence);
    let bucket = S3Bucket::new(config(&server)).unwrap();
    let start = Instant::now();
    let result = block_on(bucket.put(KEY, CONTENT, &PutCondition::Absent, 200));
    assert!(matches!(result, Err(BucketError::Unknown(_))), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "it waited for the request's own limit");
}

#[test]
fn unawaited_parts_are_removed() {
    let created = "<InitiateMultipartUploadResult><Bucket>mine</Bucket><Key>k</Key><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
    let server = Server::start(move |head| match head.split(' ').next() {
        Some("POST") => response("200 OK", "", created.as_bytes()),
        Some("DELETE") => response("204 No Content", "", b""),
        _ => Answer::Silence,
    });
    let bucket = S3Bucket::new(BucketConfig { part_bytes: 5 << 20, ..config(&server) }).unwrap();
    block_on(async {
        let result = bucket.put(KEY, &vec![0; 11 << 20], &PutCondition::Absent, 1_000).await;
        assert!(matches!(result, Err(BucketError::Unknown(_))), "{result:?}");
        let removal = async {
            while !methods(&server).contains(&"DELETE".to_owned()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), removal).await.expect("the parts are removed");
    });
}
