//! The scenarios that come with the simulator: each keeps what it promises, and mistakes in a file are named.

use grail_sim::run::{SimReport, simulate};
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
    // Faults of the clocks and of the process only show that they struck.
    for name in ["clock-wrong", "process-crash"] {
        let scenario = Scenario::named(name).unwrap();
        let report = simulate(&Scenario { faults: Vec::new(), ..scenario.clone() }.config().unwrap(), |_| {});
        assert_eq!(scenario.unmet(&report), ["0 strikes of each fault, and at least 6 were expected"], "{name}");
    }
}

#[test]
fn every_file_is_listed_and_has_a_title_of_one_line() {
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
    assert!(error(&good.replace("a100", "a1000")).contains("a100, h100, h200, reference"));
    assert!(error(&good.replace("windows = 1680", "windows = 0")).contains("simulate at least 1"));
    assert!(error("title = 3").contains("title"));
    let unknown = Scenario::named("bad-weak").expect_err("no such scenario");
    assert_eq!(unknown, ScenarioError::UnknownName { name: "bad-weak".into(), nearest: "bad-week" });
}
