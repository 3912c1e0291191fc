//! `/metrics` parsed by the official parsers of both of its formats; skipped, with a notice, where Python has no
//! `prometheus_client`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report, WindowOutcome, WindowReceipt};
use grail_miner::ports::{Head, Now};
use grail_observe::{Dropped, EngineMeter, Metrics, Scrape, StateObserver, TextFormat};
use serde_json::Value;

use crate::interop::python;
use crate::monitoring::gpu;

#[test]
fn the_official_parsers_take_both_formats_and_see_the_same() {
    let Some(python) = python("prometheus_client") else { return };
    let mut observer = StateObserver::new(12_000, Box::new(|| false));
    let (mut metrics, mut exposition) = Metrics::new(observer.state(), Some(std::env::temp_dir()), &Dropped::default());
    let meter = EngineMeter::new(Arc::new(|| vec![gpu(0)]));
    exposition.show_engine(meter.clone());
    meter.watch(1)(Duration::from_millis(400), 4);
    // Every kind of metric has a sample, one with a label that must be escaped.
    let now = Now { monotonic_ms: 60_000, wall_ms: 1_758_700_000_000 };
    observer.event(now, &Event::HeadMoved(Head { number: 31 }));
    let finding = "proof_valid/\"quoted\" and \\".to_owned();
    let lost = WindowReceipt::of(30, WindowOutcome::Lost("a bucket".to_owned()));
    for report in [
        Report::RolloutRejected { index: 0, finding },
        Report::WindowOpened { window_start: 30, with_beacon: true },
        Report::Receipt(lost),
    ] {
        let action = Action::Report(report);
        observer.action(now, &action);
        metrics.action(now, &action);
    }
    let folder = tempfile::tempdir().unwrap();
    let files = [TextFormat::OpenMetrics, TextFormat::Prometheus].map(|format| {
        let path = folder.path().join(format!("{format:?}"));
        std::fs::write(&path, exposition.metrics(format).unwrap()).unwrap();
        path
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/parsers.py");
    let output = Command::new(python).arg(script).args(&files).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let types = |format: &str| -> BTreeMap<String, String> {
        let types = seen[format]["types"].as_object().unwrap();
        types.iter().map(|(name, kind)| (name.clone(), kind.as_str().unwrap().to_owned())).collect()
    };
    let open_metrics = types("open_metrics");
    for (name, kind) in [
        ("grail_mining_windows_completed", "counter"),
        ("grail_mining_reward_distribution", "histogram"),
        ("grail_proof_duration_seconds", "histogram"),
        ("grail_head_block", "gauge"),
        ("grail_build", "info"),
    ] {
        assert_eq!(open_metrics.get(name).map(String::as_str), Some(kind), "{name}");
    }
    // The older format has no such type.
    let as_in_the_older = open_metrics.into_iter().map(|(name, kind)| match kind.as_str() {
        "info" => (format!("{name}_info"), "gauge".to_owned()),
        _ => (name, kind),
    });
    assert_eq!(as_in_the_older.collect::<BTreeMap<_, _>>(), types("prometheus"));
    let samples = |format: &str| -> BTreeMap<String, Value> {
        seen[format]["samples"].as_object().unwrap().clone().into_iter().collect()
    };
    // Values that change between scrapes are left out.
    let [mut one, mut other] = ["open_metrics", "prometheus"].map(samples);
    for samples in [&mut one, &mut other] {
        samples.retain(|name, _| !name.contains("head_age") && !name.contains("data_folder_free"));
    }
    assert_eq!(one, other);
    assert_eq!(one["grail_windows_total|outcome=lost"], "1.0");
    assert_eq!(one["grail_self_check_rejections_total|check=proof_valid|reason=\"quoted\" and \\"], "1.0");
}
