//! The log at Loki: arriving lines, their labels, and counts of lines that do not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grail_config::{EndpointUrl, LokiConfig};
use grail_observe::{Dropped, Loki, SinkWorker};
use secrecy::SecretString;
use serde_json::Value;
use tracing_subscriber::prelude::*;

use grail_loopback::http::{Answer, Server, wait};

fn config(server: &Server) -> LokiConfig {
    LokiConfig {
        urls: vec![EndpointUrl::parse(&server.url("/loki/api/v1/push"), &["http"]).unwrap()],
        labels: BTreeMap::from([("env".to_owned(), "test".to_owned())]),
        login: Some(("user".to_owned(), SecretString::from("planted"))),
        timeout: Duration::from_secs(5),
        batch_max: 100,
        interval: Duration::from_millis(20),
    }
}

/// Labels, times and lines of every push that was taken.
fn lines(pushes: &[Value]) -> Vec<(BTreeMap<String, String>, u128, Value)> {
    let streams = pushes.iter().flat_map(|push| push["streams"].as_array().unwrap());
    streams
        .flat_map(|stream| {
            let labels: BTreeMap<String, String> = serde_json::from_value(stream["stream"].clone()).unwrap();
            stream["values"].as_array().unwrap().iter().map(move |value| {
                let line = serde_json::from_str(value[1].as_str().unwrap()).unwrap();
                (labels.clone(), value[0].as_str().unwrap().parse().unwrap(), line)
            })
        })
        .collect()
}

#[test]
fn lines_arrive_as_objects_under_few_labels_and_forge_nothing() {
    let server = Server::start(|_| Answer::With(204, String::new()));
    let dropped = Dropped::default();
    let (loki, workers) = Loki::start(&config(&server), &dropped).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(loki), || {
        tracing::info!(window = 30u64, with_beacon = true, "window {}: started", 30);
        tracing::warn!(area = "chain", "a node says \u{1b}[2J\r\n{{\"level\":\"error\"}}\u{202e}");
    });
    SinkWorker::finish_all(workers);
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.path == "/loki/api/v1/push" && request.method == "POST"));
    assert_eq!(requests[0].headers["authorization"], "Basic dXNlcjpwbGFudGVk");
    let pushes: Vec<Value> = requests.iter().map(|request| request.json()).collect();
    let lines = lines(&pushes);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (labels, at, line) = &lines[0];
    let expected = [("app", "grail"), ("env", "test"), ("level", "info")];
    assert_eq!(*labels, expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    assert!(*at > 1_600_000_000_000_000_000, "nanoseconds since 1970: {at}");
    assert_eq!((&line["message"], &line["window"]), (&"window 30: started".into(), &30.into()));
    assert_eq!((&line["level"], &line["with_beacon"]), (&"info".into(), &true.into()));
    let (labels, _, line) = &lines[1];
    assert_eq!((labels["level"].as_str(), &line["area"]), ("warn", &"chain".into()));
    assert_eq!(line["message"], "a node says  [2J  {\"level\":\"error\"} ");
}

#[test]
fn an_outage_delays_nothing_and_lost_lines_are_counted() {
    let is_well = Arc::new(Mutex::new(false));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (well, kept) = (is_well.clone(), taken.clone());
    let server = Server::start(move |request| match *well.lock().unwrap() {
        true => {
            kept.lock().unwrap().push(request.json());
            Answer::With(204, String::new())
        }
        false => Answer::With(500, String::new()),
    });
    let dropped = Dropped::default();
    let (loki, workers) = Loki::start(&config(&server), &dropped).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(loki), || {
        // More than may wait; if writing a line waited for the server, this would not end.
        (0..6_000u64).for_each(|n| tracing::info!(n, "line"));
    });
    server.wait("an attempt", |requests| !requests.is_empty());
    *is_well.lock().unwrap() = true;
    wait("what waited", || lines(&taken.lock().unwrap()).len() as u64 + dropped.of("loki").get() == 6_000);
    let numbers: BTreeSet<u64> =
        lines(&taken.lock().unwrap()).iter().map(|(_, _, line)| line["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len() as u64 + dropped.of("loki").get(), 6_000, "none twice");
    assert!(dropped.of("loki").get() > 0 && numbers.contains(&0) && numbers.len() >= 4_096);
    let most = taken.lock().unwrap().iter().map(|push| lines(std::slice::from_ref(push)).len()).max();
    assert!(most <= Some(100), "{most:?}");
    SinkWorker::finish_all(workers);
}

#[test]
fn lines_that_are_refused_keep_no_others_from_it() {
    let server = Server::start(|request| {
        let is_odd = request.json().to_string().contains("odd");
        Answer::With(if is_odd { 400 } else { 204 }, String::new())
    });
    let dropped = Dropped::default();
    let (loki, workers) = Loki::start(&LokiConfig { batch_max: 1, ..config(&server) }, &dropped).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(loki), || {
        ["even", "odd", "even"].into_iter().for_each(|text| tracing::info!("{text}"));
    });
    SinkWorker::finish_all(workers);
    assert_eq!((server.requests().len(), dropped.of("loki").get()), (3, 1));
}
