//! Asking a running miner or validator.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::status::ProcessStatus;
use super::{ENDING, PREFIX, Request};

/// A process answers from memory, so a longer wait counts as no answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer, its line's end included: a status has a few KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CHUNK_BYTES: usize = 8 << 10;

/// A miner or validator that answers.
#[derive(Debug)]
pub struct Asking {
    stream: UnixStream,
    socket: PathBuf,
    patience: Duration,
}

/// Why none answers.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is none.
    #[error(
        "no miner or validator uses the data folder {}; start one with `grail mine` or `grail validate`, or give its folder with \
         --data-dir",
        folder.display()
    )]
    None {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// There are several.
    #[error("{} processes use the data folder {}; choose one with --hotkey: {}", hotkeys.len(), folder.display(), hotkeys.join(", "))]
    Several {
        /// The data folder.
        folder: PathBuf,
        /// The starts of their hotkeys' addresses, a validator's with its role.
        hotkeys: Vec<String>,
    },
    /// This user may not read the folder.
    #[error("cannot look for a miner or validator at {} ({source}); run this as the user who runs it", path.display())]
    Denied {
        /// The folder or the socket.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The socket exists, but the process does not answer.
    #[error("the process at {} does not answer ({why}); check that its process still runs", socket.display())]
    Gone {
        /// Its socket.
        socket: PathBuf,
        /// The operating system's error.
        why: String,
    },
}

impl Asking {
    /// Returns the process in this data folder, by the start of its hotkey's address if there are several.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn find(folder: &Path, hotkey: Option<&str>) -> Result<Self, ControlError> {
        let mut found: Vec<(String, Self)> = Vec::new();
        let sockets = sockets(folder)?;
        // A miner and a validator may share a hotkey: the whole name chooses one of them.
        let is_named = sockets.iter().any(|(name, _)| Some(name.as_str()) == hotkey);
        let is_wanted = |name: &str| match hotkey {
            Some(wanted) if is_named => name == wanted,
            Some(wanted) => {
                let start = name.split('.').next().unwrap_or(name);
                wanted.starts_with(start) || start.starts_with(wanted)
            }
            None => true,
        };
        for (name, path) in sockets {
            if is_wanted(&name) {
                found.extend(Self::connect(path)?.map(|asking| (name, asking)));
            }
        }
        if found.len() > 1 {
            let hotkeys = found.into_iter().map(|(name, _)| name).collect();
            return Err(ControlError::Several { folder: folder.to_owned(), hotkeys });
        }
        found.pop().map(|(_, asking)| asking).ok_or_else(|| ControlError::None { folder: folder.to_owned() })
    }

    /// None if nobody listens: a killed process leaves its socket behind.
    fn connect(socket: PathBuf) -> Result<Option<Self>, ControlError> {
        let connected = UnixStream::connect(&socket);
        match connected.and_then(|stream| stream.set_write_timeout(Some(PATIENCE)).map(|()| stream)) {
            Ok(stream) => Ok(Some(Self { stream, socket, patience: PATIENCE })),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(ControlError::Denied { path: socket, source })
            }
            Err(_) => Ok(None),
        }
    }

    /// Asks; every request is answered with the status then.
    ///
    /// # Errors
    /// [`ControlError::Gone`].
    pub fn ask(&mut self, request: Request) -> Result<ProcessStatus, ControlError> {
        self.exchange(request).map_err(|why| ControlError::Gone { socket: self.socket.clone(), why: why.to_string() })
    }

    fn exchange(&mut self, request: Request) -> io::Result<ProcessStatus> {
        let line = serde_json::to_string(&request)? + "\n";
        self.stream.write_all(line.as_bytes())?;
        Ok(serde_json::from_slice(&self.line()?)?)
    }

    /// Reads the next line, bounded in length and in total time.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let end = Instant::now() + self.patience;
        let (mut line, mut chunk) = (Vec::new(), [0; CHUNK_BYTES]);
        // Each answer is one line, so nothing follows it.
        while line.last() != Some(&b'\n') {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count if line.len() + count > ANSWER_BYTES_MAX => {
                    let what = format!("its answer has more than {} KiB", ANSWER_BYTES_MAX >> 10);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                count => line.extend_from_slice(&chunk[..count]),
            }
        }
        Ok(line)
    }
}

/// Returns every socket in a folder, with the start of the hotkey's address.
fn sockets(folder: &Path) -> Result<Vec<(String, PathBuf)>, ControlError> {
    let entries = match std::fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ControlError::Denied { path: folder.to_owned(), source });
        }
        entries => entries.into_iter().flatten().flatten(),
    };
    let mut sockets: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hotkey = name.strip_prefix(PREFIX)?.strip_suffix(ENDING)?.to_owned();
            Some((hotkey, entry.path()))
        })
        .collect();
    sockets.sort();
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    /// Returns the error for a socket that answers each question in this way.
    fn error_of(answer: impl Fn(&mut UnixStream) + Send + 'static) -> String {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("control-5abc.sock")).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            answer(&mut stream);
        });
        let mut asking = Asking { patience: SOON, ..Asking::find(folder.path(), None).unwrap() };
        let error = asking.ask(Request::Status).unwrap_err().to_string();
        drop(asking);
        answering.join().unwrap();
        error
    }

    #[test]
    fn a_miner_and_a_validator_of_one_hotkey_are_told_apart_by_the_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name: &str| UnixListener::bind(folder.path().join(format!("control-{name}.sock"))).unwrap();
        let listeners = ["5abc", "5abc.validator", "5xyz.validator"].map(listen);
        let found = |hotkey| Asking::find(folder.path(), hotkey);
        let socket = |hotkey| found(Some(hotkey)).unwrap().socket.file_name().unwrap().to_owned();
        assert!(found(None).unwrap_err().to_string().contains("5abc, 5abc.validator, 5xyz.validator"));
        assert_eq!(socket("5abc"), "control-5abc.sock");
        assert_eq!(socket("5abc.validator"), "control-5abc.validator.sock");
        assert_eq!(socket("5xyzAndMore"), "control-5xyz.validator.sock");
        assert!(matches!(found(Some("5ab")), Err(ControlError::Several { hotkeys, .. }) if hotkeys.len() == 2));
        drop(listeners);
    }

    #[test]
    fn an_answer_without_end_is_not_read_to_its_end() {
        let endless = |stream: &mut UnixStream| while stream.write_all(&[b'x'; 4096]).is_ok() {};
        assert!(error_of(endless).contains("more than 1024 KiB"));
        // Bytes come slowly, but before each single timeout.
        let dripping = |stream: &mut UnixStream| {
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(SOON / 6);
            }
        };
        assert!(error_of(dripping).contains("does not answer"));
        assert!(error_of(|_| {}).contains("does not answer"), "it hangs up");
    }
}
