//! Pages in a browser on the same machine are not served.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::world::ServedWorld;

/// Returns the status of a websocket's handshake with these header lines.
fn handshake(endpoint: &str, lines: &str) -> u16 {
    let address = endpoint.trim_start_matches("ws://");
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let status = BufReader::new(stream).lines().next().unwrap().unwrap();
    status.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_page_of_any_origin_is_turned_away_from_the_chain() {
    let served_world = ServedWorld::start(250);
    for endpoint in served_world.world().chain_endpoints() {
        assert_eq!(handshake(&endpoint, ""), 101, "a program");
        for origin in ["https://example.org", "http://localhost:8080", "null"] {
            assert_eq!(handshake(&endpoint, &format!("origin: {origin}\r\n")), 403, "{origin}");
        }
    }
}
