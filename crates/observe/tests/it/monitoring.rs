//! Docs, dashboard and alerts must name only metrics that a simulated run renders, and every rendered metric must be
//! documented.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use grail_engine::CpuEngine;
use grail_live::engine::CpuWorker;
use grail_miner::driver::Observer;
use grail_miner::machine::{
    Action, Area, Event, GroupId, JournalEntry, Machine, Report, Trouble, WindowOutcome, WindowReceipt,
};
use grail_miner::ports::{BeaconError, BucketError, ChainError, Head, Now};
use grail_observe::{
    Dropped, EngineMeter, Exposition, GpuFigures, JsonLines, Log, Metrics, MetricsServer, MetricsServerError,
    Observers, Row, Samples, SinkSender, StateObserver,
};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tracing_subscriber::prelude::*;

use crate::agreement::run;

/// By window and group, the assignments that solve it.
type Solutions = BTreeMap<(u64, u32), BTreeSet<Vec<bool>>>;

/// Plain bookkeeping next to the metrics; clones share it.
#[derive(Default, Clone)]
struct Book {
    receipts: Rc<RefCell<Vec<WindowReceipt>>>,
    solutions: Rc<RefCell<Solutions>>,
}

impl Observer for Book {
    fn event(&mut self, _: Now, event: &Event) {
        let Event::GroupReady { group, sealed } = event else { return };
        let claims = sealed.rollouts.iter().map(|rollout| &rollout.commit.rollout).filter(|claims| claims.success);
        let solutions = claims.map(|claims| claims.assignment.clone()).collect();
        self.solutions.borrow_mut().insert((group.window_start, group.index), solutions);
    }

    fn action(&mut self, _: Now, action: &Action) {
        if let Action::Report(Report::Receipt(receipt)) = action {
            self.receipts.borrow_mut().push(receipt.clone());
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

struct Watched {
    observers: Rc<RefCell<Observers>>,
    rows: Receiver<Row>,
    book: Book,
}

impl Watched {
    fn action(&self, action: &Action) {
        self.observers.borrow_mut().action(Now::default(), action);
    }
}

fn observer() -> StateObserver {
    StateObserver::new(12_000, Box::new(|| false))
}

/// Figures of a GPU that is at work.
pub(crate) fn gpu(ordinal: usize) -> GpuFigures {
    GpuFigures { ordinal, free: 3 << 30, total: 80 << 30, temperature_c: Some(61), busy_percent: Some(97) }
}

fn simulated(seed: u64, has_faults: bool) -> (Exposition, Watched) {
    listen();
    let (state, dropped) = (observer(), Dropped::default());
    let (mut metrics, mut exposition) = Metrics::new(state.state(), Some(std::env::temp_dir()), &dropped);
    let (sender, rows) = SinkSender::new(100, dropped.of("wandb"));
    metrics.offer_rows(sender);
    let meter = EngineMeter::new(Arc::new(|| vec![gpu(0)]));
    exposition.show_engine(meter.clone());
    let engine = CpuWorker::start_watched(CpuEngine::toy().unwrap(), meter.watch(0)).unwrap();
    let (log, samples, book) = (Log::default(), Samples::new(Rc::new(engine)), Book::default());
    let all: [Box<dyn Observer>; 5] =
        [Box::new(state), Box::new(metrics), Box::new(log), Box::new(samples), Box::new(book.clone())];
    let observers = Rc::new(RefCell::new(Observers(all.into())));
    run(seed, has_faults, observers.clone());
    (exposition, Watched { observers, rows, book })
}

/// Returns every series of a text, by its name: the labels, as `key="value"`.
fn series(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        found.entry(name).or_default().extend(labels.split(',').filter(|label| !label.is_empty()));
    }
    found
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing:\n{text}")).parse().unwrap()
}

/// Returns the names in a text that no run renders: metrics, and labels with values.
fn unknown<'a>(text: &'a str, known: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<&'a str> {
    let mut unknown = Vec::new();
    for (at, _) in text.match_indices("grail_") {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text[..at].ends_with(is_part) {
            continue;
        }
        let name = text[at..].split(|c| !is_part(c)).next().unwrap();
        let Some(labels) = known.get(name) else {
            unknown.push(name);
            continue;
        };
        let asked = text[at + name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        for asked in asked.unwrap_or_default().split(',').filter(|asked| asked.contains('"')) {
            let plain = asked.trim().replace('\\', "").replace("!=", "=");
            if !labels.contains(plain.as_str()) {
                unknown.push(asked);
            }
        }
    }
    unknown
}

fn documents() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn docs_dashboard_and_alerts_name_what_a_run_renders_and_everything_is_documented() {
    let (exposition, watched) = simulated(0, false);
    // The synthetic engine makes no mistakes of its own.
    let rejected = Report::RolloutRejected { index: 0, finding: "proof_valid/planted".to_owned() };
    watched.action(&Action::Report(rejected));
    let text = exposition.render().unwrap();
    let known = series(&text);
    let documents = documents();
    assert!(documents.len() >= 4, "{documents:?}");
    let types = || text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    // A histogram is explained by its name, and can be asked for by its series alone.
    let mut explained = known.clone();
    explained.extend(types().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| (name, BTreeSet::new())));
    for (path, document) in &documents {
        let known = if path.ends_with(".md") { &explained } else { &known };
        assert_eq!(unknown(document, known), [] as [&str; 0], "{path} names what does not exist");
    }
    let readme = &documents.iter().find(|(path, _)| path.ends_with("README.md")).unwrap().1;
    for (name, kind) in types() {
        let shown = match kind {
            "counter" => format!("`{name}_total"),
            "info" => format!("`{name}_info"),
            _ => format!("`{name}"),
        };
        let is_shown = |end| readme.contains(&format!("{shown}{end}"));
        assert!(is_shown('`') || is_shown('{'), "docs/monitoring/README.md does not explain {name} ({kind})");
    }
    let labels: BTreeSet<&str> = known.values().flatten().map(|label| label.split('=').next().unwrap()).collect();
    let allowed =
        BTreeSet::from(["area", "check", "device", "le", "outcome", "port", "reason", "sink", "version", "what"]);
    assert!(labels.is_subset(&allowed), "{labels:?}");
}

#[test]
fn proof_times_and_gpu_figures_are_reported_and_a_silent_gpu_has_none() {
    let gpus = Arc::new(Mutex::new(vec![gpu(1)]));
    let asked = gpus.clone();
    let meter = EngineMeter::new(Arc::new(move || asked.lock().unwrap().clone()));
    let (_, mut exposition) = Metrics::new(observer().state(), None, &Dropped::default());
    exposition.show_engine(meter.clone());
    // Four rollouts together, then one alone.
    meter.watch(1)(Duration::from_millis(400), 4);
    meter.watch(1)(Duration::from_millis(700), 1);
    let text = exposition.render().unwrap();
    assert_eq!(value(&text, "grail_proof_duration_seconds_count"), 5.0);
    assert!((value(&text, "grail_proof_duration_seconds_sum") - 1.1).abs() < 1e-9, "{text}");
    assert_eq!(value(&text, "grail_proof_duration_seconds_bucket{le=\"0.1\"}"), 4.0);
    assert_eq!(value(&text, "grail_gpu_memory_used_bytes{device=\"1\"}"), (77u64 << 30) as f64);
    assert_eq!(value(&text, "grail_gpu_memory_free_bytes{device=\"1\"}"), (3u64 << 30) as f64);
    assert_eq!(value(&text, "grail_gpu_temperature_celsius{device=\"1\"}"), 61.0);
    assert_eq!(value(&text, "grail_gpu_busy_ratio{device=\"1\"}"), 0.97);
    // Five rollouts in the first second.
    assert_eq!(meter.gpus()[0].proofs_per_second, 5.0);
    gpus.lock().unwrap().clear();
    assert!(!exposition.render().unwrap().contains("device="));
    let (_, mut without) = Metrics::new(observer().state(), None, &Dropped::default());
    without.show_engine(EngineMeter::new(Arc::new(Vec::new)));
    assert!(!without.render().unwrap().contains("device="));
}

#[test]
fn a_port_is_up_while_its_last_answer_was_valid() {
    let mut observer = observer();
    let (_, exposition) = Metrics::new(observer.state(), None, &Dropped::default());
    let up = |port: &str| value(&exposition.render().unwrap(), &format!("grail_port_up{{port=\"{port}\"}}"));
    assert!(["chain", "beacon", "engine", "bucket", "journal"].iter().all(|port| up(port).is_nan()));
    let group = GroupId { window_start: 30, generation: 0, index: 0, attempt: 0 };
    let silent = || ChainError::Unreachable("silent".to_owned());
    let upload = |error| Event::UploadAnswered { window_start: 30, result: Err(error) };
    let steps = [
        (Event::HeadMoved(Head { number: 31 }), "chain", 1.0),
        (Event::RegistrationRead(Err(silent())), "chain", 0.0),
        (Event::BlockHashRead { block: 30, result: Ok(None) }, "chain", 1.0),
        (Event::HeadFailed(silent()), "chain", 0.0),
        // A refused commitment is no failure of the chain.
        (Event::CommitmentAnswered(Ok(())), "chain", 0.0),
        (Event::BeaconAnswered { round: 1, result: Err(BeaconError::Invalid("x".to_owned())) }, "beacon", 0.0),
        (Event::GroupFailed { group, why: "no memory".to_owned() }, "engine", 0.0),
        (upload(BucketError::Transient("503".to_owned())), "bucket", 0.0),
        (upload(BucketError::ConditionFailed), "bucket", 1.0),
        (Event::JournalAnswered { entry: JournalEntry::Window(30), result: Ok(()) }, "journal", 1.0),
    ];
    for (event, port, expected) in steps {
        observer.event(Now::default(), &event);
        assert_eq!(up(port), expected, "{event:?}");
    }
}

#[test]
fn a_name_or_a_label_that_does_not_exist_is_found() {
    let known = series("grail_windows_total{outcome=\"lost\"} 1\ngrail_ready 1");
    let text = r#"grail_ready grail_windows_total{outcome=\"lost\"} grail_gone grail_windows_total{outcome!="lots"}"#;
    assert_eq!(unknown(text, &known), ["grail_gone", "outcome!=\"lots\""]);
}

/// Returns the names between backticks that start so.
fn quoted<'a>(text: &'a str, beginnings: &[&str]) -> BTreeSet<&'a str> {
    let quotes = text.split('`').skip(1).step_by(2);
    quotes.filter(|quote| beginnings.iter().any(|beginning| quote.starts_with(beginning))).collect()
}

#[test]
fn rows_have_the_documented_names_and_add_up_as_the_metrics_do() {
    let (exposition, mut watched) = simulated(0, false);
    let text = exposition.render().unwrap();
    let mut rows = Vec::new();
    while let Ok(Row(row)) = watched.rows.try_recv() {
        rows.push(row);
    }
    let windows: Vec<u64> = rows.iter().map(|row| row["window_number"].as_u64().unwrap()).collect();
    let ended: Vec<u64> = watched.book.receipts.borrow().iter().map(|receipt| receipt.window_start).collect();
    assert_eq!(windows, ended, "one row a window");
    let names: BTreeSet<&str> = rows.iter().flat_map(|row| row.keys().map(String::as_str)).collect();
    let (_, readme) = documents().into_iter().find(|(path, _)| path.ends_with("README.md")).unwrap();
    let explained = quoted(&readme, &["mining.", "grail.", "block_number", "window_number"]);
    let reported: BTreeSet<&str> = names.iter().copied().filter(|name| !name.starts_with('_')).collect();
    assert_eq!(reported, explained, "docs/monitoring/README.md explains every name of a row, and no other");
    // The last row has the same values as a scrape at its time.
    let last = rows.last().unwrap();
    let same = [
        ("mining.successful_rollouts", "grail_mining_successful_rollouts_total"),
        ("mining.failed_rollouts", "grail_mining_failed_rollouts_total"),
        ("mining.rollouts_generated", "grail_mining_rollouts_generated_total"),
        ("mining.problems_processed", "grail_mining_problems_processed_total"),
        ("mining.windows_completed", "grail_mining_windows_completed_total"),
        ("mining.successful_uploads", "grail_mining_successful_uploads_total"),
        ("mining.success_rate", "grail_mining_success_ratio"),
        ("mining.uploaded_rollouts", "grail_mining_uploaded_rollouts"),
        ("grail.expected_score", "grail_expected_score"),
        ("grail.window_deadline_slack_seconds", "grail_window_deadline_slack_seconds"),
    ];
    for (name, metric) in same {
        assert_eq!(last[name].as_f64(), Some(value(&text, metric)), "{name}");
    }
    for row in &rows {
        let counts = row["mining.reward_distribution"]["values"].as_array().unwrap();
        let counted: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(Some(counted as f64), row["mining.total_rollouts_in_window"].as_f64(), "{row:?}");
        let bins = row["mining.reward_distribution"]["bins"].as_array().unwrap();
        assert_eq!(
            (bins.len(), row["mining.reward_distribution"]["_type"].as_str()),
            (counts.len() + 1, Some("histogram"))
        );
    }
    let sum: f64 = rows.iter().map(|row| row["mining.total_rollouts_in_window"].as_f64().unwrap()).sum();
    assert_eq!(Some(sum), last["mining.rollouts_generated"].as_f64());
}

thread_local! {
    /// Log of this thread.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes for the thread that logs, so that tests next to each other do not mix.
struct Logged;

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures the log from before the first line, because the interest in a line is decided at its first use.
fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| tracing_subscriber::registry().with(JsonLines(|| Logged)).init());
}

fn receipt(outcome: WindowOutcome, window_start: u64) -> Action {
    let receipt = WindowReceipt { groups_clean: 1, with_beacon: true, ..WindowReceipt::of(window_start, outcome) };
    Action::Report(Report::Receipt(receipt))
}

#[test]
fn log_fields_are_documented_and_dashboards_and_the_shipper_name_no_other() {
    let (_, watched) = simulated(0, false);
    // A run without planted faults reports no problem.
    let planted = [
        Action::Report(Report::RolloutRejected { index: 0, finding: "proof_valid/\u{1b}[2Jplanted\n".to_owned() }),
        Action::Report(Report::Trouble(Trouble { area: Area::Chain, text: "\u{202e}planted".to_owned() })),
        receipt(WindowOutcome::Lost("planted\r".to_owned()), 990),
        receipt(WindowOutcome::NothingReady, 1020),
        receipt(WindowOutcome::Uploaded, 1050),
    ];
    planted.iter().for_each(|action| watched.action(action));
    let text = String::from_utf8(LOGGED.take()).unwrap();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']) && !text.contains("\\u001b"), "nothing forges a line");
    let fields: BTreeSet<&str> =
        entries.iter().flat_map(|entry| entry.as_object().unwrap().keys().map(String::as_str)).collect();
    let documents = documents();
    let readme = &documents.iter().find(|(path, _)| path.ends_with("README.md")).unwrap().1;
    let (_, section) = readme.split_once("## Log").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(
        rows.collect::<BTreeSet<&str>>(),
        fields,
        "docs/monitoring/README.md explains every field, and no other"
    );
    let known: BTreeSet<&str> = fields.iter().copied().chain(["app", "job", "unit"]).collect();
    for (path, document) in &documents {
        let named = named_fields(document);
        assert!(named.is_subset(&known), "{path} names {:?}", named.difference(&known));
    }
    // No more samples than that for each window.
    let samples = entries.iter().filter(|entry| entry["level"] == "trace");
    let mut reported: BTreeMap<u64, u32> = BTreeMap::new();
    samples.for_each(|sample| *reported.entry(sample["window"].as_u64().unwrap()).or_default() += 1);
    assert!(reported.len() >= 3 && reported.values().all(|count| (1..=5).contains(count)), "{reported:?}");
}

/// Returns the log fields that a shipper extracts and that a query of Loki compares or shows.
fn named_fields(document: &str) -> BTreeSet<&str> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let mut named = BTreeSet::new();
    for (_, after) in document.match_indices("expressions = {").map(|(at, found)| document.split_at(at + found.len())) {
        let inside = after.split('}').next().unwrap();
        named.extend(inside.split(',').filter_map(|pair| Some(pair.split_once('=')?.1.trim().trim_matches('"'))));
    }
    for line in document.lines().filter(|line| line.contains("| json")) {
        let plain = line.split("\"expr\":").nth(1).unwrap_or(line);
        for (at, _) in plain.match_indices(['=', '>', '<', '!']) {
            let before = plain[..at].trim_end();
            named.extend(
                before.rsplit(|c: char| !c.is_ascii_lowercase() && c != '_').next().filter(|name| is_name(name)),
            );
        }
        for (_, after) in plain.match_indices("{{.").map(|(at, found)| plain.split_at(at + found.len())) {
            named.extend(after.split("}}").next().map(str::trim));
        }
        let after =
            |word: &str| plain.match_indices(word).map(|(at, found)| &plain[at + found.len()..]).collect::<Vec<_>>();
        for inside in after("by (") {
            named.extend(inside.split(')').next().unwrap().split(',').map(str::trim).filter(|name| is_name(name)));
        }
        for inside in after("unwrap ") {
            named.extend(inside.split([')', ' ', '[']).next().filter(|name| is_name(name)));
        }
    }
    named
}

#[test]
fn a_field_that_does_not_exist_is_found() {
    let query = r#"{ "expr": "sum by (level, gone) (count_over_time({app=\"grail\"} | json | areas=\"chain\" | unwrap lost [5m]))" }"#;
    assert_eq!(named_fields(query), BTreeSet::from(["app", "areas", "gone", "level", "lost"]));
    assert_eq!(
        named_fields("expressions = { level = \"level\", w = \"windows\" }"),
        BTreeSet::from(["level", "windows"])
    );
}

#[test]
fn counters_add_up_to_the_receipts_and_the_score_is_what_a_validator_finds() {
    for seed in 0..20 {
        let (exposition, watched) = simulated(seed, seed % 3 == 0);
        let text = exposition.render().unwrap();
        let (receipts, solutions) = (watched.book.receipts.borrow(), watched.book.solutions.borrow());
        let sum = |of: fn(&WindowReceipt) -> usize| receipts.iter().map(of).sum::<usize>() as f64;
        assert_eq!(value(&text, "grail_mining_windows_completed_total"), receipts.len() as f64, "seed {seed}");
        let uploads = sum(|receipt| usize::from(receipt.outcome == WindowOutcome::Uploaded));
        assert_eq!(value(&text, "grail_windows_total{outcome=\"uploaded\"}"), uploads, "seed {seed}");
        // Groups of a first block that was replaced were counted, and no receipt counts them.
        let groups = value(&text, "grail_mining_problems_processed_total");
        let counted = sum(|receipt| receipt.groups_clean);
        match receipts.iter().any(|receipt| receipt.reorganisations > 0) {
            true => assert!(groups >= counted, "seed {seed}: {groups} {counted}"),
            false => assert_eq!(groups, counted, "seed {seed}"),
        }
        assert_eq!(value(&text, "grail_mining_rollouts_generated_total"), 4.0 * groups);
        // No reward is beyond the buckets, and solved problems are in other buckets than unsolved ones.
        let solved = value(&text, "grail_mining_successful_rollouts_total");
        let below = |bound: &str| value(&text, &format!("grail_mining_reward_distribution_bucket{{le=\"{bound}\"}}"));
        assert_eq!((below("1.35"), below("0.35")), (4.0 * groups, 4.0 * groups - solved), "seed {seed}");
        let last = receipts.last().unwrap();
        assert_eq!(value(&text, "grail_mining_uploaded_rollouts"), last.rollouts_uploaded as f64);
        let Some(confirmed) = receipts.iter().rfind(|receipt| receipt.outcome == WindowOutcome::Uploaded) else {
            continue;
        };
        let groups = (0..confirmed.groups_uploaded as u32).map(|index| &solutions[&(confirmed.window_start, index)]);
        let distinct: BTreeSet<_> = groups.flatten().collect();
        assert_eq!(value(&text, "grail_expected_score"), distinct.len() as f64, "seed {seed}");
        assert!(text.ends_with("# EOF\n"));
    }
}

#[test]
fn only_loopback_is_listened_on_unless_it_is_asked_for() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = MetricsServer::listen(everywhere, false).unwrap_err();
    assert!(matches!(refused, MetricsServerError::NotLoopback(_)) && refused.to_string().contains("--metrics-public"));
    assert!(MetricsServer::listen(everywhere, true).is_ok());
    let first = MetricsServer::listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let taken = MetricsServer::listen(first.address(), false).unwrap_err();
    assert!(taken.to_string().contains("choose another port"), "{taken}");
}
