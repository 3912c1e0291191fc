//! Failures between the miner and a store, byte by byte, and the conclusion from each.

use grail_live::bucket::{AccessKey, BucketConfig, S3Bucket};
use grail_loopback::s3::block_on;
use grail_loopback::scripted::{Answer, Server, dead_address, response};
use grail_miner::ports::{Bucket, BucketError, Etag, PutCondition};
use sha2::{Digest, Sha256};

const KEY: &str = "grail/windows/5abc-window-30.json.gz";
const PUT_MS_MAX: u64 = 20_000;
const PLANTED: [&str; 4] = ["PLANTEDWRITEID", "planted/write+secret", "PLANTEDREADID", "planted/read+secret"];

fn config(endpoint: &str) -> BucketConfig {
    let [write, read] =
        [[PLANTED[0], PLANTED[1]], [PLANTED[2], PLANTED[3]]].map(|[id, secret]| AccessKey::new(id, secret));
    BucketConfig::s3(endpoint, "mine", "auto", write, read)
}

fn bucket(endpoint: &str) -> S3Bucket {
    S3Bucket::new(BucketConfig { request_ms: 400, connect_ms: 300, ..config(endpoint) }).unwrap()
}

fn put(bucket: &S3Bucket) -> Result<Etag, BucketError> {
    block_on(bucket.put(KEY, &[b'x'; 100_000], &PutCondition::Absent, PUT_MS_MAX))
}

fn error_body(code: &str) -> String {
    let quoted = PLANTED.join(" and ");
    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>you sent {quoted}</Message></Error>")
}

fn refusal(status: &str, code: &str) -> Answer {
    response(status, "Content-Type: application/xml\r\n", error_body(code).as_bytes())
}

/// Returns the result of put, get and delete for an answer. Only a put with an unknown outcome is sent again, after a
/// read.
fn concluded(answer: Answer) -> [Result<(), BucketError>; 3] {
    let server = Server::always(answer);
    let bucket = bucket(&server.url());
    let results = [put(&bucket).map(drop), block_on(bucket.get(KEY)).map(drop), block_on(bucket.delete(KEY))];
    let requests = server.requests();
    let methods: Vec<&str> = requests.iter().filter_map(|head| head.split(' ').next()).collect();
    match &results[0] {
        Err(BucketError::Unknown(_)) => {
            assert!(methods.starts_with(&["PUT", "HEAD"]) && methods.ends_with(&["GET", "DELETE"]), "{methods:?}");
            assert!(methods.len() <= 5, "{methods:?}");
        }
        _ => assert_eq!(methods, ["PUT", "GET", "DELETE"]),
    }
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_no_secret(&format!("{error} {error:?}"));
    }
    results
}

fn assert_no_secret(text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "{secret} is reported: {text}");
    }
}

/// How the results of a write, a read and a removal begin; an empty text where nothing is claimed.
#[test]
fn an_answer_tells_what_has_happened_to_the_object() {
    let (open, again, condition) = ("Err(Unknown", "Err(Transient", "Err(ConditionFailed");
    let cut = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    let error = error_body("InternalError");
    for (answer, expected) in [
        // A break after the request leaves the outcome of a write unknown, and so does an answer without a version.
        (Answer::Reset, [open, again, open]),
        (Answer::Silence, [open, again, open]),
        (Answer::Bytes(Vec::new()), [open, again, ""]),
        (Answer::Bytes(cut), [open, again, ""]),
        (response("200 OK", "", b""), [open, again, ""]),
        // A store that asks for patience gets it.
        (refusal("503 Slow Down", "SlowDown"), [again; 3]),
        (refusal("429 Too Many Requests", "TooManyRequests"), [again; 3]),
        (refusal("400 Bad Request", "RequestTimeout"), [again; 3]),
        (response("503 Service Unavailable", "", b"<html>busy</html>"), [again; 3]),
        // A broken store leaves a write open.
        (refusal("500 Internal Server Error", "InternalError"), [open, again, open]),
        (response("502 Bad Gateway", "", b""), [open, again, open]),
        // An error in a success is no success.
        (response("200 OK", "ETag: \"1\"\r\n", error.as_bytes()), [open, "", open]),
        (refusal("412 Precondition Failed", "PreconditionFailed"), [condition, "", ""]),
        (refusal("409 Conflict", "ConditionalRequestConflict"), [condition, "", ""]),
        (response("304 Not Modified", "", b""), [condition, "", ""]),
        // A missing object is no failure.
        (refusal("404 Not Found", "NoSuchKey"), ["", "Ok", "Ok"]),
    ] {
        let results = concluded(answer);
        for (result, expected) in results.iter().zip(expected) {
            assert!(format!("{result:?}").starts_with(expected), "{expected}: {results:?}");
        }
    }
}

#[test]
fn requests_that_were_never_sent_may_be_retried() {
    let bucket = bucket(&format!("http://{}", dead_address()));
    assert!(matches!(put(&bucket), Err(BucketError::Transient(_))));
    assert!(matches!(block_on(bucket.get(KEY)), Err(BucketError::Transient(_))));
    assert!(matches!(block_on(bucket.delete(KEY)), Err(BucketError::Transient(_))));
}

#[test]
fn errors_of_the_operator_are_reported_with_the_remedy() {
    for (status, code, remedy) in [
        ("403 Forbidden", "SignatureDoesNotMatch", "copy both again"),
        ("403 Forbidden", "AccessDenied", "lacks permission"),
        ("403 Forbidden", "InvalidAccessKeyId", "does not know"),
        ("403 Forbidden", "RequestTimeTooSkewed", "clock"),
        ("404 Not Found", "NoSuchBucket", "create it"),
        ("301 Moved Permanently", "PermanentRedirect", "region"),
    ] {
        for result in concluded(refusal(status, code)) {
            assert!(matches!(&result, Err(BucketError::Refused(text)) if text.contains(remedy)), "{code}: {result:?}");
        }
    }
}

#[test]
fn only_the_store_can_refuse_finally() {
    let page = "<!DOCTYPE html><html><head><title>One moment</title></head><body>Blocked by a filter</body></html>";
    for status in [
        "302 Found",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "407 Proxy Authentication Required",
        "451 Unavailable For Legal Reasons",
        "502 Bad Gateway",
        "511 Network Authentication Required",
        // A portal may call this a success.
        "200 OK",
    ] {
        let page = response(status, "Server: filter/1\r\nContent-Type: text/html; charset=UTF-8\r\n", page.as_bytes());
        for result in concluded(page) {
            let Err(BucketError::Transient(text) | BucketError::Unknown(text)) = result else {
                panic!("{status}: {result:?}")
            };
            assert!(text.contains("filter/1") && text.contains("One moment Blocked by a filter"), "{text}");
            assert!(!text.contains("permission") && !text.contains('<'), "{text}");
        }
    }
    for empty in ["403 Forbidden", "400 Bad Request"] {
        for result in concluded(response(empty, "", b"")) {
            assert!(matches!(result, Err(BucketError::Transient(_))), "{empty}: {result:?}");
        }
    }
}

#[test]
fn a_store_without_conditional_writes_is_named() {
    let [put, ..] = concluded(refusal("501 Not Implemented", "NotImplemented"));
    let Err(BucketError::Refused(text)) = &put else { panic!("{put:?}") };
    assert!(text.contains("conditional writes (If-None-Match, If-Match)") && text.contains("another store"), "{text}");
}

fn get(answer: impl Fn(&str) -> Answer + Send + 'static) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
    let server = Server::start(answer);
    let bucket = bucket(&server.url());
    block_on(bucket.put(KEY, CONTENT, &PutCondition::Absent, PUT_MS_MAX)).unwrap();
    block_on(bucket.get(KEY))
}

const CONTENT: &[u8] = b"sixteen bytes it";

/// Writes are acknowledged; reads get this.
fn written_and(read: Answer) -> impl Fn(&str) -> Answer + Send + 'static {
    move |head| match head.starts_with("PUT") {
        true => response("200 OK", "ETag: \"1\"\r\n", b""),
        false => read.clone(),
    }
}

fn chunked(headers: &str, chunks: &[&[u8]]) -> Answer {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks.iter().chain(&[&b""[..]]) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
    }
    Answer::Bytes(bytes)
}

#[test]
fn an_object_is_read_despite_any_metadata_of_the_answer() {
    let whole = Ok(Some((CONTENT.to_vec(), Etag("\"1\"".to_owned()))));
    let [first, second] = [&CONTENT[..5], &CONTENT[5..]];
    for headers in [
        "ETag: \"1\"\r\n",
        // The version is the one that the write was acknowledged with.
        "",
        "ETag: \"1\"\r\nLast-Modified: yesterday\r\nContent-Disposition: \u{fc}\r\nx-amz-meta-note: \u{fc}\r\n",
    ] {
        assert_eq!(get(written_and(chunked(headers, &[first, second]))), whole, "{headers}");
        assert_eq!(get(written_and(response("200 OK", headers, CONTENT))), whole, "{headers}");
    }
}

#[test]
fn an_object_without_a_version_is_taken_only_if_it_is_ours() {
    let other = get(written_and(response("200 OK", "", b"another content!")));
    assert!(matches!(&other, Err(BucketError::Transient(text)) if text.contains("ETag")), "{other:?}");
}

#[test]
fn no_more_is_read_than_was_sent() {
    let gibibyte = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 1073741824\r\n\r\n";
    for too_much in [
        // Nothing of this body ever comes.
        Answer::Bytes(gibibyte.into()),
        chunked("ETag: \"1\"\r\n", &[CONTENT, b"x"]),
        response("200 OK", "ETag: \"1\"\r\n", b"seventeen bytes !"),
    ] {
        let result = get(written_and(too_much));
        assert!(matches!(&result, Err(BucketError::Transient(text)) if text.contains("than 16 bytes")), "{result:?}");
    }
}

#[test]
fn unsent_rows_have_a_limit_too() {
    let server = Server::always(response("200 OK", "ETag: \"1\"\r\n", &[b'x'; 1_025]));
    let config = config(&server.url());
    let small = S3Bucket::new(BucketConfig { object_bytes_max: 1_024, ..config.clone() }).unwrap();
    let result = block_on(small.get(KEY));
    assert!(matches!(&result, Err(BucketError::Refused(text)) if text.contains("delete it")), "{result:?}");
    let fitting = S3Bucket::new(BucketConfig { object_bytes_max: 1_025, ..config }).unwrap();
    assert_eq!(block_on(fitting.get(KEY)).unwrap().unwrap().0.len(), 1_025);
}

#[test]
fn requests_say_what_they_must_and_no_more() {
    let server = Server::always(response("200 OK", "ETag: \"1\"\r\n", b""));
    let bucket = bucket(&server.url());
    assert_eq!(put(&bucket), Ok(Etag("\"1\"".to_owned())));
    block_on(bucket.put(KEY, b"y", &PutCondition::Matches(Etag("\"1\"".to_owned())), PUT_MS_MAX)).unwrap();
    let _ = block_on(bucket.get(KEY));
    block_on(bucket.delete(KEY)).unwrap();
    let heads: Vec<String> = server.requests().iter().map(|head| head.to_ascii_lowercase()).collect();
    let [create, update, get, delete] = heads.as_slice() else { panic!("{heads:?}") };
    let path = format!("/mine/{}", KEY.to_ascii_lowercase());
    assert!(create.starts_with(&format!("put {path} ")), "{create}");
    assert!(get.starts_with(&format!("get {path} ")), "{get}");
    assert!(delete.starts_with(&format!("delete {path} ")), "{delete}");
    let digest = hex::encode(Sha256::digest([b'x'; 100_000]));
    for line in ["if-none-match: *", "content-type: application/gzip", &format!("x-amz-meta-sha256: {digest}")] {
        assert!(create.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {create}");
    }
    assert!(update.contains("\r\nif-match: \"1\"\r\n") && !update.contains("if-none-match"), "{update}");
    assert!(!create.contains("content-encoding"), "{create}");
    for (head, id) in [(create, PLANTED[0]), (update, PLANTED[0]), (delete, PLANTED[0]), (get, PLANTED[2])] {
        assert!(head.contains(&format!("credential={}/", id.to_ascii_lowercase())), "{head}");
    }
    for secret in [PLANTED[1], PLANTED[3]] {
        assert!(!heads.concat().contains(secret), "a secret was sent");
    }
}

#[test]
fn an_upload_in_parts_that_fails_is_aborted() {
    let created = "<InitiateMultipartUploadResult><Bucket>mine</Bucket><Key>k</Key><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
    let begin = move |head: &str| match head {
        head if head.starts_with("POST") && head.contains("?uploads") => response("200 OK", "", created.as_bytes()),
        head if head.starts_with("DELETE") => response("204 No Content", "", b""),
        head if head.starts_with("PUT") => response("200 OK", "ETag: \"p\"\r\n", b""),
        _ => refusal("200 OK", "InternalError"),
    };
    let large = vec![0; 11 << 20];
    let upload = |server: &Server| {
        let config = BucketConfig { part_bytes: 5 << 20, request_ms: 10_000, ..config(&server.url()) };
        let bucket = S3Bucket::new(config).unwrap();
        block_on(bucket.put(KEY, &large, &PutCondition::Absent, PUT_MS_MAX)).unwrap_err()
    };
    let server = Server::start(begin);
    let error = upload(&server);
    assert!(matches!(error, BucketError::Unknown(_)), "the completion's outcome is open: {error}");
    let requests = server.requests();
    assert!(requests.last().unwrap().starts_with("DELETE"), "{requests:?}");
    let completion = &requests[requests.len() - 2];
    assert!(completion.to_ascii_lowercase().contains("\r\nif-none-match: *\r\n"), "{completion}");

    let server = Server::start(move |head| match head.starts_with("PUT") {
        true => refusal("500 Internal Server Error", "InternalError"),
        false => begin(head),
    });
    let error = upload(&server);
    assert!(matches!(error, BucketError::Transient(_)), "no object was touched: {error}");
    assert!(server.requests().last().unwrap().starts_with("DELETE"));
}

#[test]
fn no_secret_is_shown() {
    let bucket = bucket("http://127.0.0.1:1");
    assert_no_secret(&format!("{bucket:?}"));
    let key = || AccessKey::new(PLANTED[0], PLANTED[1]);
    assert_no_secret(&format!("{:?} {:?}", key(), BucketConfig::r2("account", key(), key())));
}
