//! The metrics endpoint of a real miner.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use grail_serve::ServeFault;
use serde_json::Value;

use super::scene::{Miner, PATIENCE, Scene};
use crate::world::wait;

/// Returns where the miner says that its metrics are.
fn address(miner: &Miner) -> SocketAddr {
    miner.logged("metrics on http://");
    let log = miner.log();
    let (_, after) = log.split_once("metrics on http://").unwrap();
    after.split('/').next().unwrap().parse().unwrap()
}

/// Status and body of a GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = send(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n"));
    (status, body)
}

/// Status and head of a GET of metrics with these header lines.
fn head_of(address: SocketAddr, lines: &str) -> (u16, String) {
    let (status, head, _) = send(address, &format!("GET /metrics HTTP/1.1\r\n{lines}\r\n"));
    (status, head.to_lowercase())
}

/// Status, head and body of the answer to a request.
fn send(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).expect("a status line").parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Returns the value of a series, written as in the text.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing:\n{text}")).parse().unwrap()
}

fn sum(receipts: &[Value], field: &str) -> f64 {
    receipts.iter().map(|receipt| receipt[field].as_f64().unwrap()).sum()
}

#[test]
fn after_windows_the_counters_agree_with_the_receipts_though_clients_dawdle() {
    let (scene, miner) = Scene::mining(600, &["--groups-max", "3", "--metrics-listen", "127.0.0.1:0"]);
    let address = address(&miner);
    assert!(address.ip().is_loopback());
    // In the window in which it commits nothing can be clean yet.
    let (status, why) = get(address, "/readyz");
    assert_eq!(status, 503, "{why}");
    assert_eq!(get(address, "/healthz"), (200, "healthy\n".to_owned()));
    // They stay connected as long as possible: one never sends, the others ask and never read.
    let dawdlers: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut dawdler in &dawdlers[1..] {
        dawdler.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    }
    let judged: Vec<_> = (0..2).map(|_| scene.verdict()).collect();
    for verdict in &judged {
        assert!(verdict.is_accepted(), "{}", verdict.line());
        miner.given_receipt(verdict.judgment.window_start);
    }
    assert_eq!(get(address, "/readyz"), (200, "ready\n".to_owned()));
    // Between two receipts the miner may end another window, so counters and receipts are read until both stop
    // changing.
    let (text, receipts) = loop {
        let before = miner.receipts();
        let (status, text) = get(address, "/metrics");
        assert_eq!(status, 200);
        if value(&text, "grail_mining_windows_completed_total") == before.len() as f64 && before == miner.receipts() {
            break (text, before);
        }
    };
    for outcome in ["uploaded", "kept_back", "nothing_ready", "not_registered", "reorganised", "lost"] {
        let reported = receipts.iter().filter(|receipt| receipt["outcome"] == outcome).count();
        assert_eq!(
            value(&text, &format!("grail_windows_total{{outcome=\"{outcome}\"}}")),
            reported as f64,
            "{outcome}"
        );
    }
    let uploaded: Vec<Value> = receipts.iter().filter(|receipt| receipt["outcome"] == "uploaded").cloned().collect();
    assert!(uploaded.len() >= 2, "{receipts:?}");
    let last = receipts.last().unwrap();
    assert_eq!(value(&text, "grail_mining_successful_uploads_total"), uploaded.len() as f64);
    assert_eq!(value(&text, "grail_mining_uploaded_rollouts"), last["rollouts_uploaded"].as_f64().unwrap());
    assert_eq!(
        value(&text, "grail_window_deadline_slack_seconds"),
        uploaded.last().unwrap()["slack_seconds"].as_f64().unwrap()
    );
    // Groups of the window that is under way are counted and have no receipt yet.
    assert!(value(&text, "grail_mining_problems_processed_total") >= sum(&receipts, "groups_clean"));
    let solved = value(&text, "grail_mining_successful_rollouts_total");
    let generated = value(&text, "grail_mining_rollouts_generated_total");
    assert_eq!(solved + value(&text, "grail_mining_failed_rollouts_total"), generated);
    assert_eq!(generated, 4.0 * value(&text, "grail_mining_problems_processed_total"));
    assert_eq!(value(&text, "grail_mining_reward_distribution_count"), generated);
    assert!(value(&text, "grail_mining_upload_duration_seconds_count") >= uploaded.len() as f64);
    assert_eq!((value(&text, "grail_registered"), value(&text, "grail_ready")), (1.0, 1.0));
    assert!(value(&text, "grail_data_folder_free_bytes") > 0.0);
    assert!(value(&text, "grail_proof_duration_seconds_count") >= generated);
    for port in ["chain", "beacon", "engine", "bucket", "journal"] {
        assert_eq!(value(&text, &format!("grail_port_up{{port=\"{port}\"}}")), 1.0, "{port}");
    }
    assert!(!text.contains("device="), "there is no GPU");
    assert!(value(&text, "grail_head_block") <= scene.head() as f64);
    let ended = miner.stop();
    assert!(ended.status.success(), "{}", ended.stderr.join("\n"));
    drop(dawdlers);
}

#[test]
fn a_lost_registration_and_a_silent_chain_are_not_ready_and_every_odd_request_gets_an_answer() {
    let (scene, miner) = Scene::mining(601, &["--groups-max", "1", "--metrics-listen", "127.0.0.1:0"]);
    let address = address(&miner);
    scene.verdict();
    assert_eq!(get(address, "/readyz").0, 200);
    assert_eq!(get(address, "/other").0, 404);
    let (status, report) = get(address, "/");
    assert!(
        status == 200 && report.contains("<h1>The last windows</h1>") && report.contains("src=\"/timeline#"),
        "{report}"
    );
    assert!(report.contains(&scene.served.world().miner.to_ss58()), "{report}");
    let (status, timeline) = get(address, "/timeline");
    assert!(status == 200 && timeline.contains("id=\"timeline\""), "{timeline}");
    assert_eq!(send(address, "POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").0, 405);
    // A head without end is read up to a limit.
    let endless = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(9 << 10));
    assert_eq!(send(address, &endless).0, 431);
    // A page in a browser whose name was made to lead here.
    assert_eq!(head_of(address, "host: example.org\r\n").0, 421);
    let (status, head) = head_of(address, "host: localhost\r\n");
    assert!(status == 200 && head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let (status, head) = head_of(address, "host: localhost\r\naccept: text/plain;version=0.0.4;q=1,*/*;q=0.1\r\n");
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    // Many silent clients block nobody: the oldest connections are closed and counted.
    let crowd: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(get(address, "/healthz").0, 200);
    let closed = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        !matches!(stream.read(&mut [0]), Ok(1..))
    };
    assert!(crowd.iter().take(5).all(closed));
    let began = Instant::now();
    // The others are closed after a while too.
    assert!(crowd.iter().all(closed));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(crowd);
    let is_unwell = |path: &str, because: &str| {
        let is_so = || matches!(get(address, path), (503, why) if why.contains(because)).then_some(());
        wait(50, PATIENCE, is_so, || format!("{because}: {:?}\n{}", get(address, path), miner.log()));
    };
    scene.served.world().switch_on(ServeFault::Deregistration);
    is_unwell("/readyz", "not registered");
    assert_eq!(value(&get(address, "/metrics").1, "grail_registered"), 0.0);
    scene.served.world().switch_on(ServeFault::StalledChain);
    is_unwell("/readyz", "no new block arrives");
    // The nodes answer, and no block comes: after a while that is not a mere outage.
    is_unwell("/healthz", "although the chain's nodes answer");
    assert!(value(&get(address, "/metrics").1, "grail_telemetry_dropped_total{sink=\"prometheus\"}") >= 4.0);
}
