//! What docs, dashboard and alerts name must be what a simulated run renders, and what it renders must be documented.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use grail::observe::health::Health;
use grail::observe::{Endpoint, EndpointError, Exposition, Metrics};
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report, WindowOutcome, WindowReceipt};
use grail_miner::ports::Now;
use grail_sim::engine::SpeedProfile;
use grail_sim::faults::Faults;
use grail_sim::run::{SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;

/// Plain bookkeeping beside the metrics.
#[derive(Default)]
struct Book {
    receipts: Vec<WindowReceipt>,
    /// By window and group, the assignments that solve it.
    solutions: BTreeMap<(u64, u32), BTreeSet<Vec<bool>>>,
}

impl Observer for Book {
    fn event(&mut self, _: Now, event: &Event) {
        let Event::GroupReady { group, sealed } = event else { return };
        let claims = sealed.rollouts.iter().map(|rollout| &rollout.commit.rollout).filter(|claims| claims.success);
        let solutions = claims.map(|claims| claims.assignment.clone()).collect();
        self.solutions.insert((group.window_start, group.index), solutions);
    }

    fn action(&mut self, _: Now, action: &Action) {
        if let Action::Report(Report::Receipt(receipt)) = action {
            self.receipts.push(receipt.clone());
        }
    }
}

struct Watched {
    metrics: Metrics,
    health: Health,
    book: Book,
}

impl Observer for Watched {
    fn event(&mut self, now: Now, event: &Event) {
        self.metrics.event(now, event);
        self.health.event(now, event);
        self.book.event(now, event);
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.metrics.action(now, action);
        self.health.action(now, action);
        self.book.action(now, action);
    }
}

fn rehearsed(seed: u64, faults: Faults) -> (Exposition, Rc<RefCell<Watched>>) {
    let health = Health::new(12_000);
    let (metrics, exposition) = Metrics::new(health.vitals(), Some(std::env::temp_dir()));
    let watched = Rc::new(RefCell::new(Watched { metrics, health, book: Book::default() }));
    let config = SimConfig {
        // So few that a validator checks them all.
        groups_max: Some(5),
        faults,
        observer: Some(watched.clone()),
        ..SimConfig::new(
            Rc::new(SyntheticModel::default()),
            SpeedProfile::named("reference").expect("a known profile"),
            seed,
            3,
        )
    };
    simulate(&config, |_| {});
    (exposition, watched)
}

/// Every series of a text, by its name: the labels, as `key="value"`.
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

/// What a text names and no run renders: metrics, and labels that are asked to equal a value.
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn docs_dashboard_and_alerts_name_what_a_run_renders_and_everything_is_documented() {
    let (exposition, watched) = rehearsed(0, Faults::None);
    // The synthetic engine makes no mistakes of its own.
    let rejected = Report::RolloutRejected { index: 0, finding: "proof_valid/planted".to_owned() };
    watched.borrow_mut().action(Now::default(), &Action::Report(rejected));
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
    let allowed = BTreeSet::from(["area", "check", "le", "outcome", "reason", "sink", "version", "what"]);
    assert!(labels.is_subset(&allowed), "{labels:?}");
}

#[test]
fn a_name_or_a_label_that_does_not_exist_is_found() {
    let known = series("grail_windows_total{outcome=\"lost\"} 1\ngrail_ready 1");
    let text = r#"grail_ready grail_windows_total{outcome=\"lost\"} grail_gone grail_windows_total{outcome!="lots"}"#;
    assert_eq!(unknown(text, &known), ["grail_gone", "outcome!=\"lots\""]);
}

#[test]
fn counters_add_up_to_the_receipts_and_the_score_is_what_a_validator_finds() {
    for seed in 0..20 {
        // Without kills, after which a process counts from nothing.
        let faults = "beacon-outage,upload-error-before,upload-error-after,endpoint-silence,reorganisation,slow-engine";
        let (exposition, watched) = rehearsed(seed, if seed % 3 == 0 { faults.parse().unwrap() } else { Faults::None });
        let text = exposition.render().unwrap();
        let Book { receipts, solutions } = &watched.borrow().book;
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
        // No reward lies beyond the buckets, and what solves its problem lies in others than what does not.
        let solved = value(&text, "grail_mining_successful_rollouts_total");
        let below = |bound: &str| value(&text, &format!("grail_mining_reward_distribution_bucket{{le=\"{bound}\"}}"));
        assert_eq!((below("1.15"), below("0.15")), (4.0 * groups, 4.0 * groups - solved), "seed {seed}");
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
    let refused = Endpoint::listen(everywhere, false).unwrap_err();
    assert!(matches!(refused, EndpointError::NotLoopback(_)) && refused.to_string().contains("--metrics-public"));
    assert!(Endpoint::listen(everywhere, true).is_ok());
    let first = Endpoint::listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let taken = Endpoint::listen(first.address(), false).unwrap_err();
    assert!(taken.to_string().contains("choose another port"), "{taken}");
}
