//! The page: its data against the tape itself, foreign text, and size.

use std::collections::{BTreeMap, BTreeSet};

use grail_debugger::timeline::{Gatherer, Page, Source};
use grail_miner::machine::{Event, GroupId, MachineSettings};
use grail_miner::ports::{BeaconError, BucketError, Head};
use grail_tape::{Mode, Tape, replay};
use serde_json::Value;

use crate::made::{WINDOW, beginning, failed, recorded, settings, steps_mut, tape_of};

/// Text that the test plants wherever text comes from outside.
const FOREIGN: &str = "</script><script>alert('planted')</script><img src=x onerror=alert(1)>&amp;\"'";

pub(crate) fn page(tape: &Tape) -> String {
    let timeline = Gatherer::of_tape(tape).timeline();
    let replay = replay(tape, Mode::Strict, None);
    let source = Source::Tape { name: "a<b>.tape", header: &tape.header, replay: &replay };
    Page::new(&source, &timeline).html()
}

/// Returns the data that the script reads.
fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Returns a window's groups, all failed and retried once.
pub(crate) fn many_failures(groups: u32, why: &str) -> Tape {
    let mut events = beginning();
    events.extend((0..groups).map(|index| failed(index, 0, why)));
    tape_of(MachineSettings { groups_in_flight_max: groups as usize, ..settings() }, events, 50)
}

/// Index, attempt and generation, with when it was ordered and how it ended.
type Attempts<'a> = BTreeMap<(u64, u64, u64), (u64, &'a str)>;

#[test]
fn the_page_draws_the_tapes_content() {
    for (seed, faults) in [(3, "none"), (5, "random"), (8, "random")] {
        let tape = recorded(seed, 2, faults);
        let data = data(&page(&tape));
        // Another reading of the tape: the text of the recorded actions, and the events themselves.
        let mut expected: BTreeMap<u64, Attempts<'_>> = BTreeMap::new();
        let (mut heads, mut puts) = (BTreeSet::new(), 0);
        for step in tape.steps() {
            for order in step.actions.iter().filter_map(|action| action.strip_prefix("Generate ")) {
                let order: Value = serde_json::from_str(order).unwrap();
                let number = |name: &str| order["group"][name].as_u64().unwrap();
                let id = (number("index"), number("attempt"), number("generation"));
                let window = expected.entry(number("window_start")).or_default();
                assert_eq!(window.insert(id, (step.monotonic_ms, "open")), None, "seed {seed}");
            }
            puts += step.actions.iter().filter(|action| action.starts_with("Upload ")).count();
            let mut ended = |GroupId { window_start, generation, index, attempt }: &GroupId, end| {
                let id = (u64::from(*index), u64::from(*attempt), u64::from(*generation));
                expected.get_mut(window_start).unwrap().get_mut(&id).unwrap().1 = end;
            };
            for canceled in step.actions.iter().filter_map(|action| action.strip_prefix("CancelGroup ")) {
                ended(&serde_json::from_str(canceled).unwrap(), "canceled");
            }
            match &step.event {
                Event::HeadMoved(head) => drop(heads.insert(head.number)),
                Event::GroupReady { group, sealed } if sealed.findings.is_empty() => ended(group, "clean"),
                Event::GroupReady { group, .. } => ended(group, "rejected"),
                Event::GroupFailed { group, .. } => ended(group, "failed"),
                _ => {}
            }
        }
        let windows = data["windows"].as_array().unwrap();
        let (mut drawn_heads, mut drawn_puts) = (BTreeSet::new(), 0);
        for window in windows {
            let drawn: Attempts<'_> = window["groups"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| {
                    let number = |name: &str| a[name].as_u64().unwrap();
                    ((number("i"), number("a"), number("g")), (number("f"), a["e"].as_str().unwrap()))
                })
                .collect();
            let start = window["start"].as_u64().unwrap();
            assert_eq!(drawn, expected.remove(&start).unwrap_or_default(), "seed {seed}, window {start}");
            drawn_heads.extend(window["heads"].as_array().unwrap().iter().map(|head| head[1].as_u64().unwrap()));
            let calls = window["upload"].as_array().unwrap().iter();
            drawn_puts += calls.filter(|call| call["what"].as_str().unwrap().starts_with("put")).count();
            let receipts = tape.steps().flat_map(|step| &step.actions).filter(|action| {
                action.starts_with(r#"Report {"Receipt""#) && action.contains(&format!(r#""window_start":{start},"#))
            });
            let receipts: Vec<&String> = receipts.collect();
            let clean = window["receipt"]["groups_clean"].as_u64();
            match receipts[..] {
                [receipt] => assert!(receipt.contains(&format!(r#""groups_clean":{},"#, clean.unwrap())), "{receipt}"),
                [] => assert_eq!(clean, None),
                _ => panic!("{} receipts of window {start}", receipts.len()),
            }
        }
        assert!(expected.is_empty(), "seed {seed}: {expected:?}");
        assert_eq!((drawn_heads, drawn_puts), (heads, puts), "seed {seed}");
        assert!(drawn_puts > 0);
    }
}

#[test]
fn foreign_text_stays_text() {
    let mut tape = many_failures(3, FOREIGN);
    tape.header.engine = FOREIGN.to_owned();
    tape.header.program = FOREIGN.to_owned();
    for step in steps_mut(&mut tape) {
        if let Event::BeaconAnswered { result, .. } = &mut step.event {
            *result = Err(BeaconError::Invalid(FOREIGN.to_owned()));
        }
    }
    let refused = Err(BucketError::Refused(FOREIGN.to_owned()));
    steps_mut(&mut tape).last().unwrap().event = Event::UploadAnswered { window_start: WINDOW, result: refused };
    steps_mut(&mut tape).last().unwrap().actions.push(FOREIGN.to_owned());
    let html = page(&tape);
    assert!(html.contains("id=\"divergence\""), "the changed beacon is a difference");
    for forbidden in ["<script>alert", "<img", "</script><script>alert", "a<b>.tape"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(html.matches("</script>").count(), 2);
    let whys = data(&html)["windows"][0]["groups"].to_string();
    assert!(whys.contains("alert('planted')"), "{whys}");
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let html = page(&recorded(3, 1, "none")).replace("http://www.w3.org/2000/svg", "");
    for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "import ", "fetch(", "{{", "{%"] {
        assert!(!html.contains(reference), "{reference}");
    }
}

#[test]
fn a_difference_comes_first_with_both_sides_and_what_led_there() {
    let mut tape = crate::made::two_failures();
    steps_mut(&mut tape).nth(6).unwrap().actions[0].push_str("-planted");
    let html = page(&tape);
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(place("id=\"divergence\"") < place("id=\"windows\""));
    assert!(html.contains("<mark>-planted</mark>"));
    assert!(html.contains("diverged at step 6"));
    for part in
        ["Asked for in", "crates/miner/src/machine/groups.rs:", "What led there", "State: before and after the step"]
    {
        assert!(html.contains(part), "{part} is missing");
    }
    assert_eq!(data(&html)["differs_at_ms"], 6_000);
    assert!(!page(&crate::made::two_failures()).contains("id=\"divergence\""));
}

#[test]
fn a_page_of_a_thousand_groups_is_of_moderate_size() {
    let html = page(&many_failures(1_000, "out of memory"));
    assert!(data(&html)["windows"][0]["groups"].as_array().unwrap().len() >= 1_000);
    assert!(html.len() < 400_000, "{} bytes", html.len());
    // A text without end from outside does not make a page without end.
    assert!(page(&many_failures(100, &"long ".repeat(100_000))).len() < 400_000);
}

#[test]
fn windows_that_make_a_page_too_large_are_left_out_and_it_says_so() {
    let mut events = vec![Event::Started(Vec::new())];
    for start in (0..42).map(|number| WINDOW + 30 * number) {
        events.push(Event::HeadMoved(Head { number: start }));
        events.push(Event::BlockHashRead { block: start, result: Ok(Some(format!("0x{start:064x}"))) });
    }
    let config = MachineSettings { groups_in_flight_max: 1_000, use_drand: false, ..settings() };
    let tape = tape_of(config, events, 180_000);
    let timeline = Gatherer::of_tape(&tape).timeline();
    let attempts: usize = timeline.windows.iter().map(|window| window.groups.len()).sum();
    assert!(timeline.left_out > 0 && timeline.left_out + timeline.windows.len() == 42, "{}", timeline.left_out);
    assert!((20_000..=40_000).contains(&attempts), "{attempts} attempts");
    let html = page(&tape);
    assert!(html.contains(&format!("{} later windows are left out", timeline.left_out)));
    assert!(html.len() < 6_000_000, "{} bytes", html.len());
}

#[test]
fn the_legend_has_every_color_of_the_lanes_of_uploads_and_groups() {
    let html = page(&recorded(3, 1, "none"));
    let legend = html.split("<p class=\"legend\">").nth(1).unwrap().split("</p>").next().unwrap();
    let script = include_str!("../../src/timeline/page.js");
    // The classes that the script gives to calls and groups, as it names them.
    for class in ["put", "read", "delete", "wrong", "clean", "rejected", "failed", "canceled", "open"] {
        assert!(legend.contains(&format!("<i class=\"{class}\"></i>")), "{class}: {legend}");
        let styled = html.contains(&format!(".{class} {{")) || html.contains(&format!(".{class}, "));
        assert!(styled, "{class} has no color");
        assert!(script.contains(class) || html.contains(&format!("\"{class}\"")), "{class} is drawn nowhere");
    }
}
