//! Weights & Biases online: what arrives, once and in order, through every kind of outage.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use grail_config::{EndpointUrl, Resume, WandbConfig};
use grail_observe::{Dropped, Row, SinkSender, SinkWorker, WandbLimits, start_wandb};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::wandb_service::{KEY, Mood, Service};
use grail_loopback::http::wait;

/// Pauses so short that a test need not wait.
const LIMITS: WandbLimits = WandbLimits {
    spool_bytes: 1 << 20,
    pause_first: Duration::from_millis(10),
    pause_longest: Duration::from_millis(50),
};

pub(crate) fn config(base_url: &str) -> WandbConfig {
    WandbConfig {
        api_key: Some(SecretString::from(KEY)),
        base_url: EndpointUrl::parse(base_url, &["http"]).unwrap(),
        project: "grail".to_owned(),
        entity: None,
        offline: false,
        run_id: None,
        resume: Resume::Allow,
        name: Some("first GPU".to_owned()),
        tags: vec!["a".to_owned(), "b".to_owned()],
        notes: Some("why".to_owned()),
        folder: None,
    }
}

/// Returns the n-th row.
pub(crate) fn row(n: u64) -> Row {
    let row = json!({
        "_timestamp": 1_700_000_000.0 + n as f64 * 360.5,
        "block_number": 30 * n + 29,
        "window_number": 30 * n,
        "mining.windows_completed": n + 1,
        "mining.success_rate": 0.125 * n as f64,
    });
    Row(row.as_object().unwrap().clone())
}

struct Sending {
    rows: SinkSender<Row>,
    worker: SinkWorker,
    dropped: Dropped,
}

impl Sending {
    fn start(config: &WandbConfig, folder: &Path, limits: WandbLimits) -> Self {
        let dropped = Dropped::default();
        let reported = BTreeMap::from([("netuid".to_owned(), json!(81))]);
        let (rows, worker) = start_wandb(config, reported, folder, &dropped, limits, grail_live::unix_ms).unwrap();
        Self { rows, worker, dropped }
    }

    fn offer(&self, numbers: std::ops::Range<u64>) {
        numbers.for_each(|n| self.rows.offer(row(n)));
    }

    fn dropped(&self) -> u64 {
        self.dropped.of("wandb").get()
    }

    /// Ends, and returns how many rows were dropped.
    fn finish(self) -> u64 {
        SinkWorker::finish_all(vec![self.worker]);
        self.dropped.of("wandb").get()
    }
}

/// Checks that a history holds exactly these rows, in order, numbered from 0.
fn assert_history(history: &[Value], numbers: std::ops::Range<u64>) {
    assert_eq!(history.len() as u64, numbers.end - numbers.start, "{history:#?}");
    for (step, (line, n)) in history.iter().zip(numbers).enumerate() {
        assert_eq!(line["_step"], step);
        for (name, value) in &row(n).0 {
            assert_eq!(&line[name], value, "{name} of row {n}");
        }
    }
}

#[test]
fn a_run_is_described_and_its_rows_follow() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    let sending = Sending::start(&config(&service.server.url("")), folder.path(), LIMITS);
    sending.offer(0..3);
    wait("the third row", || service.runs.lock().unwrap().values().any(|run| run.history.len() == 3));
    sending.offer(3..5);
    sending.finish();
    let run = service.only();
    assert_history(&run.history, 0..5);
    assert!(run.is_over);
    assert_eq!((&run.described["displayName"], &run.described["notes"]), (&json!("first GPU"), &json!("why")));
    assert_eq!((&run.described["tags"], &run.described["project"]), (&json!(["a", "b"]), &json!("grail")));
    assert_eq!(run.summary["mining.windows_completed"], 5);
    let reported: Value = serde_json::from_str(run.described["config"].as_str().unwrap()).unwrap();
    assert_eq!(reported["netuid"]["value"], 81);
    // Every figure is drawn over the block: the list's first is the block, and each metric names it by its place from 1.
    let metrics = reported["_wandb"]["value"]["m"].as_array().unwrap();
    assert_eq!((&metrics[0]["1"], &metrics[1]["1"]), (&json!("block_number"), &json!("window_number")));
    let drawn: Vec<&Value> = metrics[2..].iter().map(|metric| &metric["1"]).collect();
    assert_eq!(drawn, [&json!("mining.success_rate"), &json!("mining.windows_completed")]);
    assert!(metrics[2..].iter().all(|metric| metric["5"] == 1), "{metrics:?}");
    // Delivered to the end, so nothing is left to deliver.
    let spool = folder.path().join("wandb/spool");
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0);
}

#[test]
fn an_outage_loses_and_doubles_nothing() {
    for mood in [Mood::Broken, Mood::LosesAnswers, Mood::RefusesKeys, Mood::Endless] {
        let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
        let sending = Sending::start(&config(&service.server.url("")), folder.path(), LIMITS);
        sending.offer(0..2);
        wait("the second row", || service.runs.lock().unwrap().values().any(|run| run.history.len() == 2));
        service.set(mood);
        let before = service.server.requests().len();
        sending.offer(2..300);
        // One after another, so that some are sent and taken though no answer comes.
        service.server.wait("attempts", |requests| requests.len() > before + 6);
        service.set(Mood::Well);
        wait("the last row", || service.runs.lock().unwrap().values().any(|run| run.history.len() > 256));
        let dropped = sending.dropped();
        sending.finish();
        let run = service.only();
        // Records that do not fit into the queue are counted.
        assert_eq!(run.history.len() as u64 + dropped, 300, "{mood:?}");
        let windows: Vec<u64> = run.history.iter().map(|line| line["window_number"].as_u64().unwrap()).collect();
        assert!(windows.is_sorted_by(|a, b| a < b), "{mood:?}: {windows:?}");
        let steps: Vec<usize> = run.history.iter().map(|line| line["_step"].as_u64().unwrap() as usize).collect();
        assert_eq!(steps, (0..run.history.len()).collect::<Vec<_>>(), "{mood:?}");
    }
}

#[test]
fn the_next_process_delivers_what_an_earlier_one_could_not() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    let config = config(&service.server.url(""));
    let first = Sending::start(&config, folder.path(), LIMITS);
    first.offer(0..1);
    wait("the first row", || service.runs.lock().unwrap().values().any(|run| run.history.len() == 1));
    service.set(Mood::LosesAnswers);
    first.offer(1..4);
    // The service has some of them, and the process ends without having heard so.
    wait("another row", || service.only().history.len() > 1);
    service.set(Mood::Broken);
    first.offer(4..6);
    first.finish();
    service.set(Mood::Well);
    let id = service.runs.lock().unwrap().keys().next().unwrap().clone();
    let second = Sending::start(&config, folder.path(), LIMITS);
    second.offer(6..7);
    wait("the old run's rows", || service.run(&id).history.len() == 6);
    wait("the new run's row", || service.runs.lock().unwrap().values().any(|run| run.history.len() == 1));
    second.finish();
    assert_eq!(service.runs.lock().unwrap().len(), 2);
    assert_history(&service.run(&id).history, 0..6);
}

#[test]
fn a_run_is_gone_on_with_as_its_own_client_has_it() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    let named = |resume| WandbConfig { run_id: Some("mine".to_owned()), resume, ..config(&service.server.url("")) };
    let deliver = |resume, numbers: std::ops::Range<u64>| {
        let sending = Sending::start(&named(resume), folder.path(), LIMITS);
        sending.offer(numbers);
        sending.finish()
    };
    // There is no run to continue with.
    assert_eq!((deliver(Resume::Must, 0..1), service.runs.lock().unwrap().len()), (1, 0));
    assert_eq!(deliver(Resume::Never, 0..2), 0);
    assert_eq!(deliver(Resume::Allow, 2..3), 0);
    assert_eq!(deliver(Resume::Must, 3..5), 0);
    assert_history(&service.run("mine").history, 0..5);
    // There is one already.
    assert_eq!(deliver(Resume::Never, 5..6), 1);
    assert_history(&service.run("mine").history, 0..5);
    // The last run of the folder, without its name.
    let auto = WandbConfig { run_id: None, ..named(Resume::Auto) };
    let sending = Sending::start(&auto, folder.path(), LIMITS);
    sending.offer(5..6);
    sending.finish();
    assert_eq!(service.only().history.len() as u64, 6);
}

#[test]
fn the_spool_is_bounded_and_counts_dropped_rows() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Mood::Broken);
    let limits = WandbLimits { spool_bytes: 4 << 10, ..LIMITS };
    let sending = Sending::start(&config(&service.server.url("")), folder.path(), limits);
    for n in 0..200 {
        sending.offer(n..n + 1);
        std::thread::sleep(Duration::from_millis(1));
    }
    service.server.wait("an attempt", |requests| requests.len() > 3);
    let size = || {
        let files = std::fs::read_dir(folder.path().join("wandb/spool")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    wait("the bound", || sending.dropped() > 0);
    assert!(size() < 5 << 10, "{} bytes", size());
    service.set(Mood::Well);
    wait("what was kept", || service.runs.lock().unwrap().values().any(|run| run.history.len() > 5));
    let dropped = sending.finish();
    let run = service.only();
    assert_eq!(run.history.len() as u64 + dropped, 200);
    assert_eq!(run.history[0]["window_number"], 0, "the oldest are kept");
}

#[test]
fn a_silent_service_delays_nobody_and_refused_rows_are_counted() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Mood::Silent);
    let sending = Sending::start(&config(&service.server.url("")), folder.path(), LIMITS);
    // If offering waited for the service, this would not end: it never answers.
    sending.offer(0..5_000);
    assert!(sending.dropped() > 0);
    drop(sending);
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Mood::RefusesRows);
    let sending = Sending::start(&config(&service.server.url("")), folder.path(), LIMITS);
    sending.offer(0..3);
    wait("three rows to be counted", || sending.dropped() == 3);
    service.set(Mood::Well);
    sending.offer(3..4);
    wait("the next row", || service.only().history.len() == 1);
    assert_eq!((sending.dropped(), &service.only().history[0]["window_number"]), (3, &json!(90)));
    sending.finish();
}
