//! An S3 server over a folder, with a key that writes and one that only reads.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Result, s3_error};
use s3s_fs::FileSystem;
use sha2::{Digest, Sha256};

use super::http_server::HttpServer;

/// Id and secret of one key.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKey {
    /// Which key.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// Name and keys of a bucket.
#[derive(Clone)]
pub struct BucketAccount {
    /// The account, whose id is the bucket's name too.
    pub account_id: String,
    /// May do everything.
    pub write_key: BucketKey,
    /// May get and list.
    pub read_key: BucketKey,
}

/// Fault of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BucketTrouble {
    /// Uploads are refused with 503 before anything is written.
    RefusesUploads,
    /// Uploads are written, and the connection is closed instead of an answer.
    LosesAnswers,
    /// Uploads are written, and the answer never comes.
    WithholdsAnswers,
    /// Every request is answered with 429.
    LimitsRate,
    /// Every request takes one and a half blocks longer.
    IsSlow,
    /// The write key has expired.
    WriteKeyExpired,
    /// The read key has expired.
    ReadKeyExpired,
    /// The write key may no longer write.
    WriteKeyReadsOnly,
    /// A web page answers every request.
    AnswersWithPage,
    /// Writes under a condition are answered with 501.
    LacksConditions,
    /// The write key writes to another bucket.
    WritesElsewhere,
}

/// The server; it ends when it is dropped.
pub struct BucketServer {
    accounts: Vec<BucketAccount>,
    folder: PathBuf,
    troubles: Troubles,
    pub(super) server: HttpServer,
}

type Troubles = Arc<Mutex<BTreeSet<BucketTrouble>>>;

/// An answer that is lost on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed instead of an answer")]
struct LostAnswer;

impl BucketAccount {
    /// Returns the account of this name, made up and of no worth anywhere.
    pub fn made_up(name: &str) -> Self {
        let digest = |what: &str| hex::encode(Sha256::digest(format!("{name}/bucket/{what}")));
        let key = |what: &str| BucketKey {
            id: digest(&format!("{what} id"))[..32].to_owned(),
            secret: digest(&format!("{what} secret")),
        };
        Self { account_id: digest("account")[..32].to_owned(), write_key: key("write"), read_key: key("read") }
    }
}

impl BucketServer {
    /// Serves the buckets of these accounts, of which there is at least one, from `folder` on a free port of loopback;
    /// `slow_ms` is the delay of a slow request.
    ///
    /// # Errors
    /// If the folder cannot be created or the server cannot listen.
    pub async fn start(folder: &Path, accounts: Vec<BucketAccount>, slow_ms: u64) -> io::Result<Self> {
        // Next to the folder, since every folder in it is a bucket.
        let elsewhere = folder.with_file_name("elsewhere");
        for folder in [folder, &elsewhere] {
            for account in &accounts {
                std::fs::create_dir_all(folder.join(&account.account_id))?;
            }
        }
        let opened = |folder| FileSystem::new(folder).map_err(|error| io::Error::other(format!("{error:?}")));
        let (files, elsewhere) = (opened(folder)?, opened(&elsewhere)?);
        let troubles = Troubles::default();
        let served = |files: FileSystem| {
            let mut keys = SimpleAuth::new();
            for key in accounts.iter().flat_map(|account| [&account.write_key, &account.read_key]) {
                keys.register(key.id.clone(), key.secret.clone().into());
            }
            let mut service = S3ServiceBuilder::new(files);
            service.set_auth(keys);
            service.set_access(Access { accounts: accounts.clone(), troubles: troubles.clone() });
            service.build()
        };
        let front = Arc::new(Front {
            service: served(files),
            elsewhere: served(elsewhere),
            write_key_ids: accounts.iter().map(|account| account.write_key.id.clone()).collect(),
            troubles: troubles.clone(),
            slow: Duration::from_millis(slow_ms),
            writing: tokio::sync::Mutex::default(),
        });
        let service = service_fn(move |request| {
            let front = front.clone();
            async move { front.answer(request).await }
        });
        let server = HttpServer::start(service).await?;
        Ok(Self { accounts, folder: folder.to_owned(), troubles, server })
    }

    /// Whose bucket the first one is.
    pub fn account(&self) -> &BucketAccount {
        &self.accounts[0]
    }

    /// Returns the object under a key of the first bucket, read past the server.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(&self.account().account_id).join(key)).ok()
    }

    /// Puts an object into an account's bucket, past the server.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn place(&self, account: &BucketAccount, key: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(&account.account_id).join(key);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, bytes)
    }

    /// Answers in this way from now on.
    pub fn set_troubles(&self, troubles: BTreeSet<BucketTrouble>) {
        *locked(&self.troubles) = troubles;
    }
}

/// Permissions.
struct Access {
    accounts: Vec<BucketAccount>,
    troubles: Troubles,
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let key = context.credentials().map(|credentials| credentials.access_key.clone());
        let reads = context.method() == Method::GET || context.method() == Method::HEAD;
        let troubles = locked(&self.troubles).clone();
        let has = |account: &&BucketAccount| {
            [&account.write_key, &account.read_key].into_iter().any(|known| Some(&known.id) == key.as_ref())
        };
        let Some(account) = self.accounts.iter().find(has) else { return Err(s3_error!(AccessDenied)) };
        let is_others = |bucket: &str| self.accounts.iter().any(|other| other.account_id == bucket);
        if context.s3_path().get_bucket_name().is_some_and(|it| it != account.account_id && is_others(it)) {
            return Err(s3_error!(AccessDenied));
        }
        let is_write_key = key.as_ref() == Some(&account.write_key.id);
        let expiry = if is_write_key { BucketTrouble::WriteKeyExpired } else { BucketTrouble::ReadKeyExpired };
        let may_write = is_write_key && !troubles.contains(&BucketTrouble::WriteKeyReadsOnly);
        match () {
            () if troubles.contains(&expiry) => Err(s3_error!(ExpiredToken)),
            () if reads || may_write => Ok(()),
            () => Err(s3_error!(AccessDenied)),
        }
    }
}

/// Front of the store, which applies permissions and faults.
struct Front {
    service: S3Service,
    /// Another bucket with the same name and keys.
    elsewhere: S3Service,
    write_key_ids: Vec<String>,
    troubles: Troubles,
    slow: Duration,
    /// The store checks a condition and writes in two steps; between them nobody else may write.
    writing: tokio::sync::Mutex<()>,
}

impl Front {
    async fn answer(&self, request: http::Request<Incoming>) -> Result<Response<Body>, LostAnswer> {
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let has = |trouble| locked(&self.troubles).contains(&trouble);
        if has(BucketTrouble::IsSlow) {
            tokio::time::sleep(self.slow).await;
        }
        if has(BucketTrouble::AnswersWithPage) {
            return Ok(page());
        }
        if has(BucketTrouble::LimitsRate) {
            return Ok(refusal(StatusCode::TOO_MANY_REQUESTS, "SlowDown"));
        }
        let is_elsewhere = has(BucketTrouble::WritesElsewhere) && self.is_by_write_key(&request);
        let service = if is_elsewhere { &self.elsewhere } else { &self.service };
        if !writes {
            return service.call(request.map(Body::from)).await.map_err(|_| LostAnswer);
        }
        let is_conditional =
            [header::IF_MATCH, header::IF_NONE_MATCH].iter().any(|name| request.headers().contains_key(name));
        if has(BucketTrouble::LacksConditions) && is_conditional {
            return Ok(refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"));
        }
        if has(BucketTrouble::RefusesUploads) {
            return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
        }
        let answer = {
            let _alone = self.writing.lock().await;
            service.call(request.map(Body::from)).await.map_err(|_| LostAnswer)
        };
        if has(BucketTrouble::WithholdsAnswers) {
            std::future::pending::<()>().await;
        }
        if has(BucketTrouble::LosesAnswers) { Err(LostAnswer) } else { answer }
    }

    /// Returns whether a request says that it is signed with the write key.
    fn is_by_write_key(&self, request: &http::Request<Incoming>) -> bool {
        let signature = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        signature.is_some_and(|text| self.write_key_ids.iter().any(|id| text.contains(&format!("Credential={id}/"))))
    }
}

/// Returns an answer of the store.
fn refusal(status: StatusCode, code: &str) -> Response<Body> {
    let message = match code {
        "NotImplemented" => "A header you provided implies functionality that is not implemented.",
        _ => "Please reduce your request rate.",
    };
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    answer(status, "application/xml", text)
}

/// Returns an answer of something that is before the store.
fn page() -> Response<Body> {
    let text = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body></body></html>";
    let mut response = answer(StatusCode::FORBIDDEN, "text/html; charset=UTF-8", text.to_owned());
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("portal"));
    response
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn locked(troubles: &Troubles) -> MutexGuard<'_, BTreeSet<BucketTrouble>> {
    troubles.lock().expect("no holder panicked")
}
