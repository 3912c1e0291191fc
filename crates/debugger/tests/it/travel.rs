//! The model of time travel against a plain run over the tape.

use grail_debugger::travel::{Condition, Direction, Journey, NoSteps, View};
use grail_miner::machine::{Action, Event};
use grail_tape::{Frame, Tape};
use proptest::prelude::*;

use crate::made::{WINDOW, recorded, steps_mut, two_failures};

/// Returns the state after each step, and the actions, from one run without going back.
fn plain_run(tape: &Tape) -> Vec<(View, Vec<String>)> {
    let mut machine = tape.machine();
    let handled = |step: &grail_tape::Step| {
        let actions = machine.handle(step.now(), step.event.clone()).iter().map(Action::summary).collect();
        (View::of(machine.state()), actions)
    };
    tape.steps().map(handled).collect()
}

fn condition(text: &str) -> Condition {
    text.parse().unwrap()
}

/// The steps at which a condition stops, from the start or from the end.
fn stops(tape: &Tape, text: &str, direction: Direction) -> Vec<usize> {
    let mut journey = Journey::open(tape.clone()).unwrap();
    journey.conditions.push(condition(text));
    if direction == Direction::Back {
        journey.goto(usize::MAX);
    }
    let mut stops = Vec::new();
    while journey.run(direction).is_some() {
        stops.push(journey.number());
    }
    stops
}

#[test]
fn wherever_one_goes_it_looks_as_it_did_on_the_way_there() {
    let tape = recorded(5, 2, "random");
    let plain = plain_run(&tape);
    let journey = std::cell::RefCell::new(Journey::open(tape).unwrap());
    let places = proptest::collection::vec((any::<prop::sample::Index>(), 0..4), 1..40);
    proptest!(ProptestConfig::with_cases(20), |(places in places)| {
        let mut journey = journey.borrow_mut();
        for (place, way) in places {
            match way {
                0 => journey.goto(place.index(plain.len())),
                1 => journey.go(Direction::Forward, 1),
                2 => journey.go(Direction::Back, 1),
                _ => journey.go(Direction::Back, place.index(30)),
            }
            let (state, actions) = &plain[journey.number()];
            prop_assert_eq!(&journey.state(), state);
            prop_assert_eq!(journey.actions().len(), actions.len());
            let before = journey.number().checked_sub(1).map(|number| plain[number].0.clone());
            let (number, reference) = journey.reference();
            prop_assert_eq!((number.is_some(), number.map(|_| reference.clone())), (before.is_some(), before));
        }
    });
}

#[test]
fn no_line_of_a_state_is_longer_than_a_screen_however_much_a_group_holds() {
    for (view, _) in plain_run(&recorded(5, 2, "random")) {
        for (name, value) in view.lines() {
            assert!(value.len() < 250, "{name}: {} characters", value.len());
        }
    }
}

#[test]
fn one_step_back_costs_little_on_a_long_tape() {
    let tape = recorded(6, 4, "none");
    let mut journey = Journey::open(tape).unwrap();
    let count = journey.steps().len();
    assert!(count > 300, "{count} steps");
    journey.goto(count - 1);
    let before = journey.steps_run();
    let mut dearest = 0;
    while journey.number() > 0 {
        let began = journey.steps_run();
        journey.go(Direction::Back, 1);
        dearest = dearest.max(journey.steps_run() - began);
    }
    // Starting from the beginning each time would take half the square.
    assert!(journey.steps_run() - before < 8 * count, "{} steps for {count}", journey.steps_run() - before);
    assert!(dearest <= count / 16 + 2, "{dearest} steps at once of {count}");
}

#[test]
fn conditions_stop_where_they_hold_both_ways() {
    let tape = recorded(5, 2, "random");
    let plain = plain_run(&tape);
    let all: Vec<_> = tape.steps().cloned().collect();
    let holding = |holds: &dyn Fn(usize) -> bool| (0..all.len()).filter(|number| holds(*number)).collect::<Vec<_>>();
    let clean = |number: usize| plain[number].0.get("groups.clean").map_or(0, |count| count.parse().unwrap_or(0));
    type Oracle<'a> = &'a dyn Fn(usize) -> bool;
    let oracles: [(&str, Oracle<'_>); 4] = [
        ("kind=group_ready", &|number| matches!(all[number].event, Event::GroupReady { .. })),
        ("groups.clean>3", &|number| clean(number) > 3),
        ("kind=upload_done", &|number| format!("{:?}", all[number].event).contains("UploadDone")),
        ("kind=head_moved & !(groups.clean>=1)", &|number| {
            matches!(all[number].event, Event::HeadMoved(_)) && clean(number) == 0
        }),
    ];
    for (text, oracle) in oracles {
        let expected = holding(oracle);
        assert!(!expected.is_empty(), "{text} never holds, so nothing is tested");
        // The search skips the current step.
        let forward: Vec<usize> = expected.iter().copied().filter(|number| *number > 0).collect();
        let back: Vec<usize> = expected.iter().rev().copied().filter(|number| *number + 1 < all.len()).collect();
        assert_eq!(stops(&tape, text, Direction::Forward), forward, "{text}");
        assert_eq!(stops(&tape, text, Direction::Back), back, "{text}");
    }
}

#[test]
fn differences_are_found_and_shown_on_both_sides() {
    let mut tape = two_failures();
    steps_mut(&mut tape).nth(6).unwrap().actions[0].push('?');
    let mut journey = Journey::open(tape).unwrap();
    assert_eq!(journey.first_difference(), Some(6));
    assert!(journey.goto_difference(Direction::Forward));
    assert_eq!(journey.number(), 6);
    assert!(!journey.goto_difference(Direction::Forward));
    journey.goto(9);
    assert!(journey.goto_difference(Direction::Back));
    let lines = format!("{:?}", journey.actions());
    assert!(lines.contains("Recorded(") && lines.contains("Replayed("), "{lines}");
}

#[test]
fn windows_are_gone_to_by_their_first_block() {
    let tape = recorded(6, 3, "none");
    let mut journey = Journey::open(tape).unwrap();
    let windows: Vec<u64> = journey.windows().filter(|start| *start >= crate::made::WINDOW).collect();
    assert!(windows.len() >= 3, "{windows:?}");
    for start in windows.into_iter().rev() {
        assert!(journey.goto_window(start));
        assert_eq!(journey.state().get("window.start"), Some(start.to_string().as_str()));
        let (_, before) = journey.reference();
        assert_ne!(before.get("window.start"), Some(start.to_string().as_str()));
    }
    assert!(!journey.goto_window(17));
}

#[test]
fn after_a_gap_it_continues_from_the_next_recorded_state() {
    let whole = recorded(6, 2, "none");
    let mut tape = whole.clone();
    let is_group = |frame: &Frame| matches!(frame, Frame::Step(step) if matches!(step.event, Event::GroupReady { .. }));
    let gap = tape.frames.iter().position(is_group).unwrap();
    let Frame::Step(lost) = tape.frames.remove(gap) else { unreachable!() };
    let journey = Journey::open(tape).unwrap();
    let gaps: Vec<usize> = (0..journey.steps().len()).filter(|number| journey.missing_before(*number) > 0).collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!(journey.steps()[gaps[0]].number, lost.number + 1);
    assert!(journey.first_difference().is_some_and(|first| first >= gaps[0]));
    let second = whole.windows().into_iter().find(|span| span.window_start == WINDOW + 30).unwrap();
    // The state is recorded after the step that ends one window and starts the next.
    let differing = (second.first_step + 1..journey.steps().len()).filter(|number| journey.differs(*number)).count();
    assert_eq!(differing, 0, "the second window starts with a recorded state");
}

#[test]
fn a_tape_without_steps_is_refused() {
    let mut tape = two_failures();
    tape.frames.clear();
    assert_eq!(Journey::open(tape).err(), Some(NoSteps));
}

#[test]
fn no_secret_is_in_any_state() {
    let tape = recorded(11, 1, "none");
    let secret = tape.header.read_credentials.clone();
    for (view, _) in plain_run(&tape) {
        let shown = format!("{view:?}");
        assert!(!shown.contains(&hex::encode(&secret[..16])) && !shown.contains(&format!("{:?}", &secret[..4])));
    }
}
