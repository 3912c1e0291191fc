//! The scenarios that come with the simulator: each keeps what it promises, and mistakes in a file are named.

use std::cell::RefCell;
use std::rc::Rc;

use grail_sim::hindsight::Hindsight;
use grail_sim::run::{SimConfig, SimReport, simulate};
use grail_sim::scenario::{EMBEDDED, Scenario, ScenarioError};

/// Longer scenarios are cut to this many windows, and their minima with them, unless GRAIL_SCENARIO_WINDOWS says more.
const WINDOWS_MAX: u64 = 24;

fn run(name: &str) -> (Scenario, SimReport) {
    let mut scenario = Scenario::named(name).expect("an embedded scenario");
    let reported = option_env!("GRAIL_SCENARIO_WINDOWS").and_then(|windows| windows.parse().ok());
    let windows = scenario.windows.min(reported.unwrap_or(WINDOWS_MAX));
    let cut = |minimum: usize| minimum * windows as usize / scenario.windows as usize;
    let expect = &mut scenario.expect;
    expect.uploads_min = cut(expect.uploads_min);
    expect.accepted_min = cut(expect.accepted_min);
    scenario.windows = windows;
    let report = simulate(&scenario.config().expect("a simulation"), |_| {});
    (scenario, report)
}

#[test]
fn every_scenario_keeps_its_promises() {
    for (name, _) in EMBEDDED {
        let (scenario, report) = run(name);
        assert_eq!(scenario.unmet(&report), Vec::<String>::new(), "{name}: {:?}", report.violations);
    }
}

#[test]
fn without_its_faults_a_scenario_does_not_show_what_they_do() {
    for name in ["beacon-outage", "chain-reorganisation"] {
        let scenario = Scenario { faults: Vec::new(), ..Scenario::named(name).unwrap() };
        let report = simulate(&scenario.config().unwrap(), |_| {});
        assert_eq!(scenario.unmet(&report).len(), 1, "{name}");
    }
    // The clocks' and the process's faults show in nothing but that they struck.
    for name in ["clock-wrong", "process-crash"] {
        let scenario = Scenario::named(name).unwrap();
        let report = simulate(&Scenario { faults: Vec::new(), ..scenario.clone() }.config().unwrap(), |_| {});
        assert_eq!(scenario.unmet(&report), ["0 strikes of each fault, and at least 6 were expected"], "{name}");
    }
}

#[test]
fn every_file_stands_in_the_list_and_has_a_title_of_a_line() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let listed: Vec<String> = EMBEDDED.iter().map(|(name, _)| format!("{name}.toml")).collect();
    assert_eq!(files, listed);
    for (name, text) in EMBEDDED {
        let scenario = Scenario::parse(text).unwrap();
        assert!(scenario.title.len() < 120 && !scenario.title.contains('\n'), "{name}");
        assert!(text.starts_with("# "), "{name} says in a comment what it is about");
    }
}

#[test]
fn mistakes_are_named_with_the_nearest_name() {
    let error = |text: &str| Scenario::parse(text).expect_err("a mistake").to_string();
    let good = EMBEDDED[0].1;
    assert!(error(&good.replace("windows =", "window =")).contains("unknown key `window`; did you mean `windows`?"));
    let expect = good.replace("uploads_min", "upload_min");
    assert!(error(&expect).contains("unknown key `upload_min`; did you mean `uploads_min`?"));
    assert!(error(&good.replace("[\"random\"]", "[\"fire\"]")).contains("unknown fault \"fire\""));
    assert!(error(&good.replace("a100", "a1000")).contains("a100, h200, reference"));
    assert!(error(&good.replace("windows = 1680", "windows = 0")).contains("simulate at least 1"));
    assert!(error("title = 3").contains("title"));
    let unknown = Scenario::named("bad-weak").expect_err("no such scenario");
    assert_eq!(unknown, ScenarioError::UnknownName { name: "bad-weak".into(), nearest: "bad-week" });
}

/// Returns a miner that makes few groups a window, and knows how many distinct solutions each of them shows.
fn watched(config: SimConfig) -> (SimReport, grail_sim::hindsight::Earnings) {
    let watcher = Rc::new(RefCell::new(Hindsight::new(config.speed, config.groups_max)));
    let report = simulate(&SimConfig { observer: Some(watcher.clone()), ..config }, |_| {});
    let earnings = watcher.borrow().earnings(&report);
    (report, earnings)
}

#[test]
fn a_fast_miner_of_few_groups_earns_what_its_solutions_are_worth() {
    let scenario = Scenario { faults: Vec::new(), ..Scenario::named("beacon-outage").unwrap() };
    let (report, earnings) = watched(scenario.config().unwrap());
    // Everything is made, checked and counted, so that only what two groups solve alike can differ.
    let counted: usize = report.windows.iter().map(|window| window.successful_and_unique().1).sum();
    assert_eq!(earnings.unique, counted);
    assert!((counted..=counted + 6).contains(&earnings.unique_best), "{earnings:?}");
    assert!((0.8..=1.0).contains(&earnings.weight_share), "{earnings:?}");
}

#[test]
fn faults_and_a_worse_policy_cost_weight_and_the_bound_is_never_passed() {
    let slow = Scenario::named("engine-slow").unwrap();
    let calm = Scenario { faults: Vec::new(), ..slow.clone() };
    let all = Scenario { policy: grail_sim::scenario::Policy::All, ..calm.clone() };
    let [slow, calm, all] = [slow, calm, all].map(|scenario| watched(scenario.config().unwrap()).1);
    for earnings in [slow, calm, all] {
        assert!(earnings.unique <= earnings.unique_best, "{earnings:?}");
        assert!((0.0..=1.0).contains(&earnings.weight_share), "{earnings:?}");
    }
    assert!(all.weight_share < calm.weight_share, "{all:?} {calm:?}");
    assert!(slow.unique <= calm.unique, "{slow:?} {calm:?}");
}
