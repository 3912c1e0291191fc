//! Sockets with the failures of real ones.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Text that is appended to a websocket's key before hashing.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Passes connections on to a node until the test cuts them.
pub struct Gate {
    /// Address that clients connect to.
    pub address: String,
    cuts: watch::Sender<u32>,
}

impl Gate {
    /// Creates a gate before the node at `ws://…`.
    pub async fn before(node: &str) -> Self {
        let (listener, address) = listener().await;
        let cuts = watch::Sender::new(0);
        let (node, subscriber) = (node.trim_start_matches("ws://").to_owned(), cuts.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (node, mut cut) = (node.clone(), subscriber.subscribe());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(node).await.expect("the node listens");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts }
    }

    /// Closes what is open; new connections are passed on again.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Returns an endpoint that accepts connections and never says a word.
pub async fn silent() -> String {
    serving(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await
}

/// Returns an endpoint that answers every handshake with this HTTP status.
pub async fn refusing(status: &'static str) -> String {
    serving(move |mut socket| async move {
        let _ = request(&mut socket).await;
        let _ = socket.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    })
    .await
}

/// An endpoint that shakes hands, waits for a message, and closes with this code.
pub async fn closing(code: u16) -> String {
    serving(move |mut socket| async move {
        shake_hands(&mut socket).await;
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.write_all(&[&[0x88, 0x02][..], &code.to_be_bytes()].concat()).await;
        let _ = socket.read(&mut [0; 1024]).await;
    })
    .await
}

/// Returns an endpoint that shakes hands, waits for a message, and announces an answer of this many bytes, of which
/// none comes.
pub async fn announcing(bytes: u64) -> String {
    serving(move |mut socket| async move {
        shake_hands(&mut socket).await;
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.write_all(&[&[0x81, 0x7f][..], &bytes.to_be_bytes()].concat()).await;
        while socket.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
    })
    .await
}

/// Returns an endpoint that runs `work` on each connection.
async fn serving<F: Future<Output = ()> + Send + 'static>(work: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(work(socket));
        }
    });
    address
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("ws://{}", listener.local_addr().expect("an address"));
    (listener, address)
}

async fn request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// The server's part of a websocket's handshake.
async fn shake_hands(socket: &mut TcpStream) {
    let request = request(socket).await;
    let key = request.lines().find(|line| line.to_lowercase().starts_with("sec-websocket-key"));
    let key = key.and_then(|line| line.split_once(": ")).expect("a handshake has a key").1;
    let accept = STANDARD.encode(Sha1::digest(format!("{}{WEBSOCKET_GUID}", key.trim())));
    let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade";
    let _ = socket.write_all(format!("{head}\r\nsec-websocket-accept: {accept}\r\n\r\n").as_bytes()).await;
}
