//! Proxies as the environment names them: which servers use one, and the error if it fails.
//!
//! The proxy of these tests leads every host to this machine, so a world on loopback has names of elsewhere.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use grail_loopback::scripted::dead_address;

use super::scene::{Miner, Scene};

const PASSWORD: &str = "planted0proxy";
/// base64 of `user:planted0proxy`.
const AUTHORIZATION: &str = "Basic dXNlcjpwbGFudGVkMHByb3h5";

/// Protocol of a proxy.
#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http,
    Socks,
    /// Every request is refused.
    Refusal,
}

struct Proxy {
    address: SocketAddr,
    /// First lines of requests, or targets.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || match speaks {
                    Speaks::Socks => serve_socks(stream, &kept),
                    Speaks::Http | Speaks::Refusal => serve_http(stream, speaks, &kept),
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Leads on to the port of this machine that was asked for, and both ways from then on.
fn lead(mut client: TcpStream, port: u16, greeting: &[u8], first: &[u8]) -> Option<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    client.write_all(greeting).ok()?;
    server.write_all(first).ok()?;
    let (mut from_server, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    let _ = std::io::copy(&mut client, &mut server);
    server.shutdown(Shutdown::Both).ok()
}

fn serve_http(mut client: TcpStream, speaks: Speaks, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let (line, headers) = head.split_once("\r\n")?;
    asked.lock().unwrap().push(line.to_owned());
    let is_known = headers.to_lowercase().contains(&format!("proxy-authorization: {}", AUTHORIZATION.to_lowercase()));
    if speaks == Speaks::Refusal || !is_known {
        return client.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        return lead(client, target.rsplit_once(':')?.1.parse().ok()?, b"HTTP/1.1 200 Go on\r\n\r\n", b"");
    }
    // One request a connection, since the next one may be for another server.
    let (host, path) = target.strip_prefix("http://")?.split_once('/')?;
    let port = host.rsplit_once(':')?.1.parse().ok()?;
    let request = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n{headers}");
    lead(client, port, b"", request.as_bytes())
}

fn serve_socks(client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let read = |count: usize| {
        let mut bytes = vec![0; count];
        (&client).read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let greeting = read(2)?;
    read(usize::from(greeting[1]))?;
    (&client).write_all(&[5, 0]).ok()?;
    // A name, to be resolved here.
    let request = read(5)?;
    let name = read(usize::from(request[4]))?;
    let port = read(2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    asked.lock().unwrap().push(format!("{}:{port}", String::from_utf8_lossy(&name)));
    (request[..4] == [5, 1, 0, 3]).then_some(())?;
    lead(client, port, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"")
}

/// Returns the scene's `.env` with a name of elsewhere for every server.
fn elsewhere(scene: &Scene) -> std::path::PathBuf {
    let path = scene.served.env_file().with_file_name("elsewhere.env");
    std::fs::write(&path, scene.env_text().replace("127.0.0.1", "world.example")).unwrap();
    path
}

fn doctor(scene: &Scene, env_file: &std::path::Path, variables: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.env_clear().env("HOME", scene.data.path()).envs(variables.iter().copied());
    command.args(["doctor", "--device", "cpu", "--env-file"]).arg(env_file).arg("--data-dir").arg(scene.data.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(!text.contains("planted"), "{text}");
    (output, text)
}

#[test]
fn chain_beacon_and_bucket_go_through_the_proxy_that_is_named() {
    let scene = Scene::new(630);
    let proxy = Proxy::start(Speaks::Http);
    let url = format!("http://user:{PASSWORD}@{}", proxy.address);
    let (output, reported) = doctor(&scene, &elsewhere(&scene), &[("http_proxy", &url)]);
    assert!(output.status.success(), "{reported}");
    assert!(reported.contains(&format!("through the proxy http://{} of http_proxy", proxy.address)), "{reported}");
    let asked = proxy.asked();
    for begins in ["CONNECT world.example:", "GET http://world.example:", "PUT http://world.example:"] {
        assert!(asked.iter().any(|line| line.starts_with(begins)), "{begins}: {asked:?}");
    }
    // And so does a miner, which gives the password to nobody else.
    let mut command = Command::new("/usr/bin/env");
    command.args(["-i", &format!("ALL_PROXY={url}")]);
    command.arg(format!("HOME={}", scene.data.path().display())).arg(env!("CARGO_BIN_EXE_grail"));
    let miner = Miner::start_with(command, &elsewhere(&scene), scene.data.path(), &["-vv", "--groups-max", "1"]);
    let verdict = scene.verdict();
    assert!(verdict.is_accepted(), "{}", verdict.line());
    miner.given_receipt(verdict.judgment.window_start);
    let ended = miner.stop();
    assert!(ended.status.success(), "{}", ended.stderr.join("\n"));
    let files = super::secrets::files_under(scene.data.path()).into_iter();
    let outputs =
        files.chain([("its output".to_owned(), (ended.stderr.join("\n") + &ended.stdout.join("\n")).into_bytes())]);
    for (output, bytes) in outputs {
        for form in [PASSWORD, &AUTHORIZATION["Basic ".len()..]] {
            assert!(!bytes.windows(form.len()).any(|window| window == form.as_bytes()), "{form} is in {output}");
        }
    }
}

#[test]
fn socks_serves_as_well() {
    let scene = Scene::new(631);
    let proxy = Proxy::start(Speaks::Socks);
    let (output, reported) =
        doctor(&scene, &elsewhere(&scene), &[("ALL_PROXY", &format!("socks5h://{}", proxy.address))]);
    assert!(output.status.success(), "{reported}");
    let mut ports: Vec<String> = proxy.asked();
    ports.sort();
    ports.dedup();
    assert!(ports.len() >= 3 && ports.iter().all(|target| target.starts_with("world.example:")), "{ports:?}");
}

#[test]
fn this_machine_and_excepted_hosts_need_no_proxy() {
    let scene = Scene::new(632);
    let dead = format!("http://{}", dead_address());
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
        let (output, reported) = doctor(&scene, scene.served.env_file(), &[(variable, &dead)]);
        assert!(output.status.success() && !reported.contains("proxy"), "{variable}: {reported}");
    }
    let (output, reported) = doctor(&scene, scene.served.env_file(), &[("HTTP_PROXY", "not a url")]);
    assert!(output.status.success(), "{reported}");
    // A name that nobody resolves, which the list excepts: the proxy is not blamed.
    let (_, reported) = doctor(&scene, &elsewhere(&scene), &[("HTTP_PROXY", &dead), ("NO_PROXY", ".example")]);
    assert!(reported.contains("failure  chain.endpoint") && !reported.contains("proxy"), "{reported}");
}

#[test]
fn a_proxy_that_fails_is_named_by_its_variable() {
    let scene = Scene::new(633);
    let (dead, refusing) = (dead_address(), Proxy::start(Speaks::Refusal));
    for address in [dead, refusing.address] {
        let url = format!("http://user:{PASSWORD}@{address}");
        let (output, reported) = doctor(&scene, &elsewhere(&scene), &[("HTTP_PROXY", &url)]);
        assert_eq!(output.status.code(), Some(1), "{reported}");
        let named = format!("through the proxy http://{address} of HTTP_PROXY");
        for check in ["chain.endpoint", "beacon.relay", "bucket.write", "bucket.read"] {
            let mut lines = reported.lines().filter(|line| line.split_whitespace().nth(1) == Some(check));
            assert!(lines.any(|line| line.contains(&named)), "{check}: {reported}");
        }
    }
    // A value that is not a proxy's address is an error, and no request goes around the proxy.
    let (output, reported) = doctor(&scene, &elsewhere(&scene), &[("HTTP_PROXY", "not a url")]);
    assert_eq!(output.status.code(), Some(1), "{reported}");
    assert!(
        reported.contains("failure  network.proxy") && reported.contains("correct HTTP_PROXY or unset it"),
        "{reported}"
    );
}
