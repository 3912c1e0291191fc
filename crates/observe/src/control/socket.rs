//! The socket: in the data folder, for its owner alone.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::{Answers, ProcessStatus, Request, Stopping};

/// Longest request, its line's end included.
const REQUEST_BYTES_MAX: u64 = 1 << 10;
/// A client that asks nothing for this long is disconnected.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Clients at a time.
const CONNECTIONS_MAX: usize = 16;
/// How long to wait before more connections if no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket; its file is removed with it.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

/// Why there is no socket. The process continues without it.
#[derive(Debug, thiserror::Error)]
#[error(
    "no control socket at {} ({why}), so `grail top` and `grail stop` cannot reach this process; choose a shorter path or \
     another disk with --data-dir",
    path.display()
)]
pub struct SocketError {
    /// Path of the socket.
    path: PathBuf,
    /// The operating system's error.
    why: io::Error,
}

impl Control {
    /// Answers about this process until the value is dropped. Whatever is at `path` is from a process that ended: the
    /// hotkey's lock, or that of its journal, is held.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn serve(path: &Path, process: Arc<dyn Answers>) -> Result<Self, SocketError> {
        let started = start(path, process);
        started.map_err(|why| SocketError { path: path.to_owned(), why })?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may be gone with its folder.
        let _ = fs::remove_file(&self.path);
    }
}

fn start(path: &Path, process: Arc<dyn Answers>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    // Others might have connected between the two lines above, so each client's user is checked.
    let owner = fs::metadata(path)?.uid();
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::UnixListener::from_std(listener)?
    };
    let thread = std::thread::Builder::new().name("control".to_owned());
    thread.spawn(move || runtime.block_on(accept(listener, owner, process))).map(drop)
}

async fn accept(listener: tokio::net::UnixListener, owner: u32, process: Arc<dyn Answers>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let is_ours = stream.peer_cred().is_ok_and(|peer| [0, owner].contains(&peer.uid()));
        let Some(place) = places.clone().try_acquire_owned().ok().filter(|_| is_ours) else { continue };
        let process = process.clone();
        tokio::spawn(async move {
            // A client that has hung up gets no answer.
            let _ = converse(stream, &*process).await;
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, process: &dyn Answers) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let mut bounded = (&mut reader).take(REQUEST_BYTES_MAX);
        let read = tokio::time::timeout(IDLE_MAX, bounded.read_line(&mut line)).await;
        if !read.is_ok_and(|read| read.is_ok_and(|count| count > 0)) || !line.ends_with('\n') {
            return Ok(());
        }
        let (mut answer, stopping) = answer(&line, process);
        answer.push('\n');
        let written = tokio::time::timeout(IDLE_MAX, writer.write_all(answer.as_bytes())).await;
        // Only now, since the process may end before another line is written.
        if let Some(stopping) = stopping {
            process.stop(stopping);
        }
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    }
}

/// Returns the answer, and how the process is to stop, if it is asked to.
fn answer(line: &str, process: &dyn Answers) -> (String, Option<Stopping>) {
    let stopping = match serde_json::from_str(line) {
        Ok(Request::Status) => None,
        Ok(Request::Stop) => Some(process.would_stop(false)),
        Ok(Request::StopAfterWindow) => Some(process.would_stop(true)),
        Err(_) => {
            return (r#"{"error":"not understood; ask status, stop or stop_after_window"}"#.to_owned(), None);
        }
    };
    let status = process.status();
    let status = ProcessStatus { stopping: stopping.unwrap_or(status.stopping), ..status };
    (serde_json::to_string(&status).unwrap_or_default(), stopping)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::{Asking, Identity};
    use super::*;

    /// Ends as soon as it is asked to: the conversation with it breaks off.
    struct EndsAtOnce;

    impl Answers for EndsAtOnce {
        fn status(&self) -> ProcessStatus {
            let text = String::new;
            Identity { hotkey: text(), wallet: text(), network: text() }.status(Instant::now())
        }

        fn would_stop(&self, _: bool) -> Stopping {
            Stopping::Now
        }

        fn stop(&self, _: Stopping) {
            panic!("the process ends");
        }
    }

    #[test]
    fn a_process_that_ends_at_once_has_answered_before() {
        let folder = tempfile::tempdir().unwrap();
        let _control = Control::serve(&folder.path().join("control-5abc.sock"), Arc::new(EndsAtOnce)).unwrap();
        let mut asking = Asking::find(folder.path(), None).unwrap();
        assert_eq!(asking.ask(Request::Status).unwrap().stopping, Stopping::No);
        assert_eq!(asking.ask(Request::Stop).unwrap().stopping, Stopping::Now);
        assert!(asking.ask(Request::Status).is_err(), "it has ended");
    }
}
