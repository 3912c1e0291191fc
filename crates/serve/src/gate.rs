//! A TCP gate before a server: passes connections on, cuts them, swallows them, or turns them away.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest request head that is read before it is turned away.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long to wait before more connections if no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);
const TURNED_AWAY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Treatment of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passage {
    /// They are passed on.
    #[default]
    Open,
    /// They are closed as soon as they are accepted; open ones are cut.
    Shut,
    /// They are accepted without an answer; open ones go silent without being closed.
    Dead,
    /// The HTTP request that starts them is answered with 429; open ones are cut.
    TurnedAway,
}

/// A gate; it closes when it is dropped.
pub struct Gate {
    /// Address that clients connect to.
    pub address: SocketAddr,
    passage: watch::Sender<Passage>,
    _acceptor: JoinSet<()>,
}

impl Gate {
    /// Returns a gate on a free port of loopback, before the server at `target`.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn before(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let passage = watch::Sender::new(Passage::Open);
        let mut acceptor = JoinSet::new();
        let passages = passage.clone();
        acceptor.spawn(accept(listener, move |client| treat(client, target, passages.subscribe())));
        Ok(Self { address, passage, _acceptor: acceptor })
    }

    /// Treats connections in this way from now on.
    pub fn set(&self, passage: Passage) {
        self.passage.send_if_modified(|now| std::mem::replace(now, passage) != passage);
    }

    /// Cuts what is open; new connections are treated as before.
    pub fn cut(&self) {
        self.passage.send_modify(|_| {});
    }
}

/// Runs `work` on each connection, forever; the connections end when this future is dropped.
pub(super) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    work: impl Fn(TcpStream) -> F,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(work(stream)); }
                // Out of file descriptors, for a while: those of connections that end come free.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn treat(mut client: TcpStream, target: SocketAddr, mut passage: watch::Receiver<Passage>) {
    let now = *passage.borrow_and_update();
    match now {
        Passage::Open => {
            let Ok(mut server) = TcpStream::connect(target).await else { return };
            // Small messages go back and forth; waiting to combine them would delay each.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ended = tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => true,
                _ = passage.changed() => false,
            };
            if !ended && *passage.borrow_and_update() == Passage::Dead {
                // Neither side learns that the other has stopped listening.
                let _ = passage.changed().await;
            }
        }
        Passage::Shut => {}
        Passage::Dead => {
            let _ = passage.changed().await;
        }
        Passage::TurnedAway => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
                let Ok(byte) = client.read_u8().await else { return };
                head.push(byte);
            }
            let _ = client.write_all(TURNED_AWAY).await;
        }
    }
}
