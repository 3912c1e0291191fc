//! A loopback server that answers every connection by a script, down to resets and silence.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The server's reaction to one request.
#[derive(Clone)]
pub enum Answer {
    /// Send these bytes and close.
    Bytes(Vec<u8>),
    /// Read the whole request, then reset the connection.
    Reset,
    /// Read the whole request and say nothing.
    Silence,
}

/// A server on loopback; it ends with the test's process.
pub struct Server {
    /// Address that the server listens on.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves every request by `answer`, which gets its head.
    pub fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let Some(head) = read_request(&mut stream) else { continue };
                seen.lock().unwrap().push(head.clone());
                match answer(&head) {
                    Answer::Bytes(bytes) => {
                        let _ = stream.write_all(&bytes);
                    }
                    Answer::Reset => reset(stream),
                    Answer::Silence => silent.push(stream),
                }
            }
        });
        Self { address, requests }
    }

    /// Serves every request by the same answer.
    pub fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone())
    }

    /// Returns the URL of this server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Returns a whole response with this status line, headers and body.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    Answer::Bytes([head.as_bytes(), body].concat())
}

/// Returns an address on which nothing listens.
pub fn dead_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let missing = (end + length.unwrap_or(0)).saturating_sub(bytes.len());
    stream.read_exact(&mut vec![0; missing]).ok()?;
    Some(head)
}

/// Closing with nothing to linger for sends a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}
