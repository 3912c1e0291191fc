//! One model of the hub, downloaded file by file into the layout that Hugging Face's own tools use:
//! `blobs/ETAG`, `snapshots/REVISION/NAME` as links to them, and `refs/main` with the revision.
//!
//! This is code of our own because the published client panics where no home folder is known, reads other variables for
//! the cache than Hugging Face's tools do, and brings a second HTTP stack into the build.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{CONTENT_RANGE, ETAG, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode};
use secrecy::ExposeSecret;

use super::{Hub, HubError, is_plain};
use grail_http::{http_client_for_downloads, innermost};

const CONNECT_MS: u64 = 10_000;
/// How long a download may be silent.
const SILENCE_MS: u64 = 60_000;
const REDIRECTS_MAX: usize = 5;
/// How often in a row a download that gives nothing is continued before it is given up.
const RETRIES_MAX: u32 = 5;
const RETRY_WAIT: Duration = Duration::from_millis(300);
/// Extensions of unfinished downloads: of Hugging Face's tools for Python, and of those for Rust.
const UNFINISHED: [&str; 2] = ["incomplete", "part"];
const BAR: &str = "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// Why a file of the hub cannot be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// There is no connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The answer is a refusal.
    #[error("status {0}")]
    Status(u16),
    /// The answer lacks the hub's description of a file, or the description is invalid.
    #[error("the answer's {0} is missing or unusable")]
    Header(&'static str),
    /// Another revision was published while the files of one were fetched.
    #[error("the model changed during the download")]
    Changed,
}

impl From<reqwest::Error> for DownloadError {
    fn from(error: reqwest::Error) -> Self {
        Self::Connection(innermost(&error))
    }
}

/// A model at the hub, and its folder in the cache.
pub(super) struct Repository<'a> {
    model: &'a str,
    hub: &'a Hub,
    client: Client,
    folder: PathBuf,
    bar: ProgressBar,
}

/// The hub's description of a file, before the download.
struct Described {
    etag: String,
    revision: String,
    bytes: u64,
}

/// Why a download ended: a failure of the server, which may be asked again, or of this machine.
enum Failure {
    Hub(DownloadError),
    Cache(std::io::Error),
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        Self::Hub(error)
    }
}

impl<'a> Repository<'a> {
    /// Creates the model's folder in the cache, so that an unwritable cache is noticed before any request.
    pub(super) fn new(model: &'a str, cache: &Path, hub: &'a Hub) -> Result<Self, HubError> {
        let client = http_client_for_downloads(CONNECT_MS, SILENCE_MS).map_err(HubError::Client)?;
        let folder = cache.join(format!("models--{}", model.replace('/', "--")));
        let bar = if hub.show_progress { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()));
        for name in ["blobs", "refs", "snapshots"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(|source| HubError::Cache { path, source })?;
        }
        Ok(Self { model, hub, client, folder, bar })
    }

    /// Returns the folder of the revision that has the file, which is downloaded if it is not there.
    pub(super) async fn get(&self, file: &str, revision: Option<&Path>) -> Result<PathBuf, HubError> {
        let failed = |source| HubError::Download { model: self.model.to_owned(), file: file.to_owned(), source };
        let described = self.describe(file).await.map_err(failed)?;
        let snapshot = self.folder.join("snapshots").join(&described.revision);
        if revision.is_some_and(|revision| revision != snapshot) {
            return Err(failed(DownloadError::Changed));
        }
        let (blob, link) = (self.folder.join("blobs").join(&described.etag), snapshot.join(file));
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Cache { path, source }
        };
        if !blob.exists() {
            self.fill(file, &described, &blob).await.map_err(|failure| match failure {
                Failure::Hub(source) => failed(source),
                Failure::Cache(source) => unusable(&blob)(source),
            })?;
        }
        fs::create_dir_all(&snapshot).map_err(unusable(&snapshot))?;
        if !link.exists() {
            // A link that leads nowhere is in the way.
            let _ = fs::remove_file(&link);
            symlink(Path::new("../../blobs").join(&described.etag), &link).map_err(unusable(&link))?;
        }
        Ok(snapshot)
    }

    /// Records the newest complete revision.
    pub(super) fn name_revision(&self, snapshot: &Path) -> Result<(), HubError> {
        let path = self.folder.join("refs/main");
        let revision = snapshot.file_name().unwrap_or_default().as_encoded_bytes();
        fs::write(&path, revision).map_err(|source| HubError::Cache { path, source })
    }

    /// Asks for one byte of a file; the answer describes the file. Only the hub's own answer does, not the one after a
    /// redirect.
    async fn describe(&self, file: &str) -> Result<Described, DownloadError> {
        let answer = self.ask(file, "bytes=0-0", false).await?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = header("x-linked-etag").or_else(|| header(ETAG.as_str()));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let bytes = match header("x-linked-size") {
            Some(bytes) => bytes.parse().ok(),
            None => total(&answer).or_else(|| answer.content_length().filter(|_| answer.status() == StatusCode::OK)),
        };
        Ok(Described {
            etag: name(etag).ok_or(DownloadError::Header("ETag"))?,
            revision: name(header("x-repo-commit")).ok_or(DownloadError::Header("X-Repo-Commit"))?,
            bytes: bytes.ok_or(DownloadError::Header("Content-Range"))?,
        })
    }

    /// Downloads a blob, from where an earlier download broke off.
    async fn fill(&self, file: &str, described: &Described, blob: &Path) -> Result<(), Failure> {
        let [path, other] = UNFINISHED.map(|ending| blob.with_file_name(format!("{}.{ending}", described.etag)));
        if !path.exists() && other.exists() {
            fs::rename(&other, &path).map_err(Failure::Cache)?;
        }
        let mut target = File::options().append(true).create(true).open(&path).map_err(Failure::Cache)?;
        // Another process may be downloading the same.
        match target.lock() {
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => return Err(Failure::Cache(error)),
            _ if blob.exists() => return Ok(()),
            _ => {}
        }
        self.bar.reset();
        self.bar.set_length(described.bytes);
        self.bar.set_message(file.to_owned());
        let mut retries = 0;
        loop {
            let start = target.seek(SeekFrom::End(0)).map_err(Failure::Cache)?;
            if start == described.bytes {
                break;
            }
            if start > described.bytes {
                // It belongs to another file, or is invalid.
                target.set_len(0).map_err(Failure::Cache)?;
                continue;
            }
            match self.continue_from(file, start, &mut target).await {
                Err(Failure::Hub(error)) => {
                    let has_more = target.metadata().map_err(Failure::Cache)?.len() > start;
                    retries = if has_more { 0 } else { retries + 1 };
                    if retries > RETRIES_MAX || matches!(error, DownloadError::Status(400..500)) {
                        return Err(Failure::Hub(error));
                    }
                    tokio::time::sleep(RETRY_WAIT * 2u32.pow(retries)).await;
                }
                other => other?,
            }
        }
        self.bar.finish_and_clear();
        target.sync_all().and_then(|()| fs::rename(&path, blob)).map_err(Failure::Cache)
    }

    /// Appends the hub's bytes of a file from `start` on.
    async fn continue_from(&self, file: &str, start: u64, target: &mut File) -> Result<(), Failure> {
        let mut answer = self.ask(file, &format!("bytes={start}-"), true).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if first(&answer) == Some(start) => self.bar.set_position(start),
            StatusCode::PARTIAL_CONTENT => return Err(DownloadError::Header("Content-Range").into()),
            // A server without ranges sends the whole file.
            _ => target.set_len(0).map_err(Failure::Cache)?,
        }
        while let Some(piece) = answer.chunk().await.map_err(DownloadError::from)? {
            target.write_all(&piece).map_err(Failure::Cache)?;
            self.bar.inc(piece.len() as u64);
        }
        Ok(())
    }

    /// Returns the answer to a question for a part of a file. Redirections are followed at the hub, and from it where
    /// `elsewhere`; only the hub gets the token.
    async fn ask(&self, file: &str, range: &str, elsewhere: bool) -> Result<Response, DownloadError> {
        let mut url = self.hub.endpoint.clone();
        url.set_path(&format!("{}/{}/resolve/main/{file}", url.path().trim_end_matches('/'), self.model));
        for _ in 0..REDIRECTS_MAX {
            let is_hub = url.origin() == self.hub.endpoint.origin();
            let mut request = self.client.get(url.clone()).header(RANGE, range);
            if let (true, Some(token)) = (is_hub, &self.hub.token) {
                request = request.bearer_auth(token.expose_secret());
            }
            let answer = request.send().await?;
            let status = answer.status();
            let to = answer.headers().get(LOCATION).and_then(|to| url.join(to.to_str().ok()?).ok());
            match to.filter(|_| status.is_redirection()) {
                Some(to) if elsewhere || to.origin() == url.origin() => url = to,
                Some(_) => return Ok(answer),
                None if status.is_success() => return Ok(answer),
                None => return Err(DownloadError::Status(status.as_u16())),
            }
        }
        Err(DownloadError::Header("Location"))
    }
}

/// Returns what a hub names, if it can be the name of a file.
fn name(named: Option<&str>) -> Option<String> {
    named.filter(|name| is_plain(name)).map(str::to_owned)
}

/// `bytes FIRST-LAST/TOTAL`
fn content_range(answer: &Response) -> Option<(&str, &str)> {
    answer.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')
}

fn total(answer: &Response) -> Option<u64> {
    content_range(answer)?.1.parse().ok()
}

fn first(answer: &Response) -> Option<u64> {
    content_range(answer)?.0.split_once('-')?.0.parse().ok()
}
