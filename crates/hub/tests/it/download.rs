//! Downloads from a hub on loopback: whole, in parts, continued, damaged, and from where the hub sends us.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use grail_config::Environment;
use grail_hub::{Hub, HubError};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// A file that the server gives: its etag and its content.
type Files = BTreeMap<&'static str, (String, Vec<u8>)>;

/// A server for one test; it ends with the process.
struct Server {
    endpoint: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A question for a file, with its range and whether it carried a token.
struct Seen {
    name: String,
    start: usize,
    has_token: bool,
}

impl Server {
    fn start(files: Files) -> Self {
        Self::sending(files, None)
    }

    /// Creates a hub that has large files elsewhere.
    #[allow(clippy::disallowed_methods, reason = "a server that answers while the test waits needs a thread")]
    fn sending(files: Files, elsewhere: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let reported = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &files, elsewhere.as_deref(), &reported);
            }
        });
        Self { endpoint, seen }
    }

    /// From where on a file was asked for, the questions for its size left out.
    fn starts_of(&self, file: &str) -> Vec<usize> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.name == file).map(|seen| seen.start).collect()
    }
}

/// Answers one request: `GET /owner/model/resolve/main/FILE` with a range.
fn serve(mut stream: TcpStream, files: &Files, elsewhere: Option<&str>, seen: &Mutex<Vec<Seen>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let name = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    let Some((etag, content)) = files.get(name.as_str()) else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        return;
    };
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(content.len(), |last: usize| last + 1).min(content.len());
    if end != 1 {
        let has_token = headers.iter().any(|line| line == "authorization: bearer secret");
        seen.lock().unwrap().push(Seen { name: name.clone(), start, has_token });
    }
    if let (Some(elsewhere), true) = (elsewhere, name.ends_with(".safetensors")) {
        write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}/{name}\r\nX-Linked-Etag: \"{etag}\"\r\n\
             X-Linked-Size: {}\r\nX-Repo-Commit: c0ffee\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            content.len(),
        )
        .unwrap();
        return;
    }
    let body = &content[start..end];
    let total = content.len();
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: \"{etag}\"\r\nX-Repo-Commit: c0ffee\r\nContent-Length: {}\r\n\
         Content-Range: bytes {start}-{}/{total}\r\nConnection: close\r\n\r\n",
        body.len(),
        end - 1,
    )
    .unwrap();
    stream.write_all(body).unwrap();
}

fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Small files have another kind of etag than large ones.
fn files(weights: &[(&'static str, &[u8])], index: Option<&str>) -> Files {
    let small = |content: &str| ("0123abcd".to_owned() + &content.len().to_string(), content.as_bytes().to_vec());
    let mut files: Files = weights.iter().map(|(name, content)| (*name, (sha256(content), content.to_vec()))).collect();
    files.insert("config.json", small("{\"a\": 1}"));
    files.insert("tokenizer.json", small("{\"tokens\": []}"));
    if let Some(index) = index {
        files.insert("model.safetensors.index.json", small(index));
    }
    files
}

#[test]
fn a_model_in_parts_is_fetched_once_with_every_part() {
    let index = r#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}"#;
    let server = Server::start(files(&[("a.safetensors", b"first part"), ("b.safetensors", b"second")], Some(index)));
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::at(&server.endpoint, cache.path()).unwrap();
    let fetched = hub.fetch("owner/model").unwrap();
    let sums: BTreeMap<&str, &str> = fetched.files.iter().map(|f| (f.name.as_str(), f.sha256.as_str())).collect();
    assert_eq!(sums.len(), 5);
    assert_eq!(sums["a.safetensors"], sha256(b"first part"));
    assert_eq!(std::fs::read(fetched.folder.join("b.safetensors")).unwrap(), b"second");
    assert_eq!(hub.fetch("owner/model").unwrap(), fetched);
    assert_eq!(server.starts_of("a.safetensors"), [0], "what is in the cache is not asked for again");
}

#[test]
fn a_download_that_broke_off_is_continued() {
    let content = b"the first half, and the second half";
    for ending in [".part", ".incomplete"] {
        let server = Server::start(files(&[("model.safetensors", content)], None));
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("models--owner--model/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(sha256(content) + ending), &content[..16]).unwrap();
        let fetched = Hub::at(&server.endpoint, cache.path()).unwrap().fetch("owner/model").unwrap();
        assert_eq!(server.starts_of("model.safetensors"), [16]);
        assert_eq!(std::fs::read(fetched.folder.join("model.safetensors")).unwrap(), content);
        assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 3, "what was unfinished is gone");
    }
}

#[test]
fn a_model_in_one_file_needs_no_index_and_is_laid_out_as_hugging_faces_tools_lay_it_out() {
    let server = Server::start(files(&[("model.safetensors", b"all of it")], None));
    let cache = tempfile::tempdir().unwrap();
    let fetched = Hub::at(&server.endpoint, cache.path()).unwrap().fetch("owner/model").unwrap();
    assert_eq!(fetched.files.last().unwrap().sha256, sha256(b"all of it"));
    let repository = cache.path().join("models--owner--model");
    assert_eq!(fetched.folder, repository.join("snapshots/c0ffee"));
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), "c0ffee");
    let link = std::fs::read_link(fetched.folder.join("model.safetensors")).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("../../blobs/{}", sha256(b"all of it")));
}

#[test]
fn a_model_of_which_a_file_is_missing_is_not_taken_for_complete() {
    let mut served = files(&[("model.safetensors", b"all of it")], None);
    let tokenizer = served.remove("tokenizer.json").unwrap();
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(served.clone());
    Hub::at(&server.endpoint, cache.path()).unwrap().fetch("owner/model").unwrap_err();
    assert_eq!(grail_config::model_folder("owner/model", Some(cache.path())), None);
    served.insert("tokenizer.json", tokenizer);
    let server = Server::start(served);
    let fetched = Hub::at(&server.endpoint, cache.path()).unwrap().fetch("owner/model").unwrap();
    assert_eq!(server.starts_of("config.json"), [0usize; 0], "what was fetched is kept");
    assert_eq!(grail_config::model_folder("owner/model", Some(cache.path())), Some(fetched.folder));
}

#[test]
fn redirects_of_the_hub_do_not_get_the_token() {
    let weights: [(&str, &[u8]); 1] = [("model.safetensors", b"kept elsewhere")];
    let elsewhere = Server::start(files(&weights, None));
    let server = Server::sending(files(&weights, None), Some(elsewhere.endpoint.clone()));
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "secret\n").unwrap();
    let home = home.path().to_str().unwrap();
    let environment = environment(&[("HF_HOME", home), ("HF_ENDPOINT", &server.endpoint)]);
    let fetched = Hub::usual(&environment, false).unwrap().fetch("owner/model").unwrap();
    assert_eq!(fetched.files.last().unwrap().sha256, sha256(b"kept elsewhere"));
    assert!(fetched.folder.starts_with(grail_config::hub_cache(&environment).unwrap()));
    let tokens = |server: &Server| server.seen.lock().unwrap().iter().map(|seen| seen.has_token).collect::<Vec<_>>();
    assert_eq!(tokens(&server), [true; 3]);
    assert_eq!(tokens(&elsewhere), [false]);
}

#[test]
fn places_that_do_not_serve_are_named() {
    let fetch = |variables: &[(&str, &str)]| Hub::usual(&environment(variables), false)?.fetch("owner/model");
    let error = fetch(&[]).unwrap_err();
    assert!(matches!(error, HubError::NoHome(_)), "{error}");
    let error = fetch(&[("HF_ENDPOINT", "my-mirror")]).unwrap_err();
    assert!(matches!(&error, HubError::Endpoint { endpoint, .. } if endpoint == "my-mirror"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let error = fetch(&[("HF_HUB_CACHE", path), ("HF_ENDPOINT", "http://127.0.0.1:1")]).unwrap_err();
    assert!(matches!(&error, HubError::Cache { path, .. } if path.starts_with(file.path())), "{error}");
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
}

#[test]
fn a_file_that_differs_from_the_hubs_digest_is_refused_and_removed() {
    let mut wrong = files(&[("model.safetensors", b"right")], None);
    wrong.get_mut("model.safetensors").unwrap().1 = b"wrong".to_vec();
    let server = Server::start(wrong);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::at(&server.endpoint, cache.path()).unwrap();
    for _ in 0..2 {
        let error = hub.fetch("owner/model").unwrap_err();
        assert!(matches!(&error, HubError::Damaged { found, .. } if *found == sha256(b"wrong")), "{error}");
    }
}

#[test]
fn an_index_that_leads_elsewhere_and_a_missing_file_are_refused() {
    let server = Server::start(files(&[], Some(r#"{"weight_map": {"x": "../../etc/passwd"}}"#)));
    let cache = tempfile::tempdir().unwrap();
    let error = Hub::at(&server.endpoint, cache.path()).unwrap().fetch("owner/model").unwrap_err();
    assert!(matches!(error, HubError::Index { .. }), "{error}");
    let server = Server::start(Files::new());
    let cache = tempfile::tempdir().unwrap();
    let error = Hub::at(&server.endpoint, cache.path()).unwrap().fetch("owner/model").unwrap_err();
    assert!(error.to_string().contains("owner/model"), "{error}");
}
