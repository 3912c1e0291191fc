//! How much of a write has been sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};

/// Bytes counted at a time; less than the system buffers for a slow connection.
const PIECE_BYTES: usize = 64 << 10;

/// The running write, for display: any thread may read it while the bucket's thread writes.
///
/// A byte counts as sent once the connection takes it, which is up to the system's buffers before it arrives.
#[derive(Debug, Clone, Default)]
pub struct UploadProgress {
    total: Arc<AtomicU64>,
    attempts: [Sent; 2],
}

/// Bytes that one attempt has sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<AtomicU64>);

/// A write is under way as long as this lives.
pub(super) struct UnderWay<'a>(&'a UploadProgress);

impl UploadProgress {
    /// Returns bytes of the object being written that its furthest attempt has sent, and bytes in all; none between
    /// writes.
    pub fn sent_of(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Relaxed);
        let sent = self.attempts.iter().map(|sent| sent.0.load(Relaxed)).max()?;
        (total > 0).then(|| (sent.min(total), total))
    }

    pub(super) fn begin(&self, total: usize) -> UnderWay<'_> {
        self.attempts.iter().for_each(|sent| sent.0.store(0, Relaxed));
        self.total.store(total as u64, Relaxed);
        UnderWay(self)
    }

    /// Returns the counters of the first attempt and of the second.
    pub(super) fn attempts(&self) -> [Sent; 2] {
        self.attempts.clone()
    }
}

impl Sent {
    /// The content in pieces, each counted when it is taken.
    pub(super) fn counted(&self, content: Bytes) -> impl Stream<Item = Bytes> + Send + 'static {
        let sent = self.clone();
        let starts = stream::iter((0..content.len()).step_by(PIECE_BYTES));
        starts.map(move |start| {
            let piece = content.slice(start..content.len().min(start + PIECE_BYTES));
            sent.0.fetch_add(piece.len() as u64, Relaxed);
            piece
        })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.total.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "the server is a peer of the code under test, on a thread of its own"
    )]

    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use grail_miner::ports::{Bucket, Etag, PutCondition};

    use super::super::{AccessKey, BucketConfig, S3Bucket};

    /// Far more than two systems buffer for a connection.
    const CONTENT_BYTES: usize = 48 << 20;
    const PATIENCE_MS: u64 = 60_000;

    /// A store that reads the content on a first signal, and answers on a second one.
    fn store_on(listener: &TcpListener, signal: &Receiver<()>) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        signal.recv().unwrap();
        reader.read_exact(&mut vec![0; CONTENT_BYTES]).unwrap();
        signal.recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n").unwrap();
    }

    #[test]
    fn sent_bytes_are_shown_while_a_write_is_under_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, signal) = channel();
        let server = std::thread::spawn(move || store_on(&listener, &signal));
        let key = || AccessKey::new("AKID", "secret");
        let config = BucketConfig { request_ms: PATIENCE_MS, ..BucketConfig::s3(url, "mine", "auto", key(), key()) };
        let bucket = S3Bucket::new(BucketConfig { part_bytes: CONTENT_BYTES, ..config }).unwrap();
        let progress = bucket.progress.clone();
        assert_eq!(progress.sent_of(), None, "nothing is written yet");
        let content = vec![7; CONTENT_BYTES];
        let watch = async {
            // It grows until the two systems' buffers are full.
            let mut last = None;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let now = progress.sent_of();
                if now.is_some_and(|(sent, _)| sent > 0) && now == last {
                    break;
                }
                last = now;
            }
            let (sent, total) = last.unwrap();
            assert_eq!(total, CONTENT_BYTES as u64);
            assert!(sent < total, "all {total} bytes count as sent, and the store has read none");
            tell.send(()).unwrap();
            while progress.sent_of() != Some((total, total)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tell.send(()).unwrap();
        };
        let put = bucket.put("grail/windows/5abc-window-30.json.gz", &content, &PutCondition::Absent, PATIENCE_MS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (put, ()) = runtime.block_on(async { tokio::join!(put, watch) });
        assert_eq!(put, Ok(Etag("\"1\"".to_owned())));
        assert_eq!(progress.sent_of(), None, "no write is under way");
        server.join().unwrap();
    }
}
