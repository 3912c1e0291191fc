//! The page in a real browser, if there is one.

use std::path::Path;

use grail_debugger::timeline::Gatherer;
use grail_sim::engine::EngineSpeed;
use grail_sim::run::SimConfig;
use grail_tape::Tape;

use crate::made::{recorded_by, simulation};
use crate::pages::{many_failures, page};

/// Tokens a second of the simulated GPU; with 25000 a window has more than 1,000 groups.
const TOKENS_PER_S: &str = "GRAIL_TEST_TOKENS_PER_S";

/// Returns the document after its script ran; none if there is no browser.
fn drawn(tape: &Tape, name: &str) -> Option<String> {
    // It stays there for a person to view.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, page(tape)).unwrap();
    grail_loopback::browser::dom(&path)
}

fn assert_drawn(dom: &str, tape: &Tape, window: usize) {
    let bars = dom.matches("<rect class=\"bar ").count();
    assert!(dom.contains(&format!("data-groups-drawn=\"{bars}\"")), "the script did not run: {dom}");
    assert_eq!(bars, Gatherer::of_tape(tape).timeline().windows[window].groups.len());
}

#[test]
fn a_browser_draws_every_group_and_runs_no_foreign_text() {
    let tape = many_failures(1_000, "</script><script>document.title='planted'</script>");
    let Some(dom) = drawn(&tape, "thousand-failures.html") else { return };
    assert_drawn(&dom, &tape, 0);
    assert!(dom.matches("<rect class=\"bar ").count() >= 1_000);
    assert!(!dom.contains("<title>planted"), "foreign text was run");
}

#[test]
fn a_browser_draws_a_simulated_window() {
    let tokens_per_s = std::env::var(TOKENS_PER_S).map_or(1_500, |value| value.parse().unwrap());
    let speed = EngineSpeed { tokens_per_s, proof_us_per_token: 50, ..EngineSpeed::named("h200").unwrap() };
    let tape = recorded_by(SimConfig { speed, ..simulation(5, 1, "none") });
    let Some(dom) = drawn(&tape, "simulated.html") else { return };
    // The first window starts with its last block: nothing is made in it.
    assert_drawn(&dom, &tape, 1);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("simulated.html");
    let (content, screen) = grail_loopback::browser::widths_on_a_phone(&path).unwrap();
    assert!(screen <= 500 && content <= screen, "{content} of {screen}");
}
