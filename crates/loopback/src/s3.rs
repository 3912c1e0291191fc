//! A real S3 server that checks signatures, permissions and conditions, on loopback.

use std::net::{SocketAddr, TcpListener};

use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;

/// The bucket's name.
pub const BUCKET: &str = "mine";
/// The write key: its id and its secret.
pub const WRITE: (&str, &str) = ("AKIDWRITER", "the-secret-of-the-writer");
/// The read key: its id and its secret.
pub const READ: (&str, &str) = ("AKIDREADER", "the-secret-of-the-reader");

/// A server on loopback; it ends with the test's process.
pub struct S3Server {
    /// Address that the server listens on.
    pub address: SocketAddr,
    /// Folder that holds the objects.
    pub folder: tempfile::TempDir,
}

/// Rights of the read key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ReadKey {
    /// Read, as it should be.
    Reads,
    /// The same rights as the write key.
    Writes,
}

#[async_trait]
impl S3Access for ReadKey {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        // The file system behind it makes every bucket that is written to.
        if context.s3_path().get_bucket_name() != Some(BUCKET) {
            return Err(s3_error!(NoSuchBucket));
        }
        let is_read = matches!(context.method().as_str(), "GET" | "HEAD");
        match context.credentials().map(|credentials| credentials.access_key.as_str()) {
            Some(id) if id == WRITE.0 || id == READ.0 && (is_read || *self == Self::Writes) => Ok(()),
            _ => Err(s3_error!(AccessDenied)),
        }
    }
}

impl S3Server {
    /// Creates a server with one bucket, whose read key only reads.
    pub fn start() -> Self {
        Self::start_with(ReadKey::Reads)
    }

    /// Creates a server whose read key may do this.
    pub fn start_with(read_key: ReadKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        let mut keys = SimpleAuth::new();
        for (id, secret) in [WRITE, READ] {
            keys.register(id.to_owned(), secret.into());
        }
        service.set_auth(keys);
        service.set_access(read_key);
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

    /// Returns the server's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns everything that the server keeps next to objects, by name.
    pub fn bookkeeping(&self, part_of_name: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name.contains(part_of_name)).collect()
    }
}

/// Runs it on its own runtime and returns its result.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
