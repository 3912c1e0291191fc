//! Events, actions and the state as facts that can be written.

use grail_miner::outstanding::{Outstanding, Relation};
use grail_validator::{Action, Event, Timer};
use grail_verify::{GiveUp, Judged, Verdict};

use crate::net::{Conduct, Failing, Net};

const CONDUCTS: [Conduct; 6] = [
    Conduct::Honest(2),
    Conduct::Rejected,
    Conduct::Copies,
    Conduct::Copies,
    Conduct::NotCommitted,
    Conduct::Honest(3),
];

fn lived(is_written: bool, fails: Option<Failing>) -> Net {
    let mut net = Net::new(&CONDUCTS);
    net.is_written = is_written;
    net.fails = fails;
    net.live_until(460);
    net
}

#[test]
fn a_validator_decides_alike_from_events_and_a_state_that_were_written_and_read_again() {
    for fails in [None, Some(Failing::Before(40)), Some(Failing::After(75))] {
        let (plain, written) = (lived(false, fails), lived(true, fails));
        assert!(plain.lines.len() > 1_000, "{}", plain.lines.len());
        assert_eq!(plain.lines, written.lines, "{fails:?}");
    }
}

#[test]
fn no_line_shows_a_read_key() {
    let net = lived(false, None);
    let look = net.lines.iter().find(|line| line.starts_with("Look ")).unwrap();
    assert!(look.contains("sha256") && !look.contains("committed"), "{look}");
    let read = net.lines.iter().find(|line| line.starts_with("MetagraphRead ")).unwrap();
    assert_eq!(read, r#"MetagraphRead {"committed":5,"hotkeys":7}"#);
}

#[test]
fn a_verdict_that_names_an_exception_is_read_again() {
    let text = r#"{"verdict":{"GaveUp":{"exception":"TypeError","why":"odd"}},"fingerprints":[7]}"#;
    let judged: Judged = serde_json::from_str(text).unwrap();
    let Some(Verdict::GaveUp(GiveUp { exception, .. })) = &judged.verdict else { panic!("{judged:?}") };
    assert_eq!(exception, "TypeError");
    assert_eq!(serde_json::to_string(&judged).unwrap(), text);
}

#[test]
fn an_answer_of_a_window_that_was_discarded_answers_nothing() {
    let look = |hotkey: &str| Action::Look {
        window_start: 30,
        hotkey: hotkey.to_owned(),
        committed: Vec::new(),
        key: String::new(),
    };
    let looked = |hotkey: &str| Event::Looked { window_start: 30, hotkey: hotkey.to_owned(), result: Ok(None) };
    let mut outstanding = Outstanding::default();
    outstanding.asked(&look("a"), 1);
    outstanding.asked(&look("b"), 2);
    outstanding.asked(&Action::SetTimer { timer: Timer::Store, after_ms: 5 }, 3);
    assert_eq!(outstanding.on_event(&looked("b")), Relation::Answers(2, look("b")));
    assert_eq!(outstanding.on_event(&looked("b")), Relation::Unasked);
    outstanding.asked(&Action::Discard, 4);
    assert_eq!(outstanding.on_event(&looked("a")), Relation::Unasked);
    assert!(matches!(outstanding.on_event(&Event::TimerFired(Timer::Store)), Relation::Answers(3, _)));
    assert_eq!(outstanding.on_event(&Event::Shutdown), Relation::Spontaneous);
    assert_eq!(outstanding.open().count(), 0);
}
