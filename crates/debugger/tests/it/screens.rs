//! The screen's content, character by character.

use grail_debugger::travel::{Flow, Journey, Travel, draw};
use grail_terminal::Palette;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::made::{steps_mut, two_failures};

/// Returns the screen after these keys; `Enter` is a line's end.
fn screen(keys: &str, width: u16, height: u16) -> String {
    let mut tape = two_failures();
    steps_mut(&mut tape).nth(6).unwrap().actions[0].push('?');
    let mut travel = Travel::new(Journey::open(tape).unwrap(), "by-hand.tape".to_owned());
    for key in keys.chars() {
        let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
        assert_eq!(travel.key(KeyEvent::new(code, KeyModifiers::NONE)), Flow::Continue, "{key:?}");
    }
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &travel, Palette::Plain)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn a_difference_is_marked_among_events_and_actions() {
    insta::assert_snapshot!(screen("d", 120, 32));
}

#[test]
fn a_condition_stops_and_the_mark_is_compared_with() {
    insta::assert_snapshot!(screen("g3\nmbfailure & groups.engine_failures>1\nc", 120, 32));
}

#[test]
fn the_help_names_every_key_and_the_language() {
    insta::assert_snapshot!(screen("?", 100, 32));
}

#[test]
fn input_and_mistake_are_on_the_last_line() {
    let last = |keys: &str| {
        let screen = screen(keys, 100, 24);
        let last = screen.lines().last().unwrap();
        last.strip_prefix('"').unwrap().strip_suffix('"').unwrap().trim_end().to_owned()
    };
    assert_eq!(last("bkind=x"), "stop on: kind=x_");
    assert_eq!(last("g12x\n"), "\"12x\" is not a number");
    assert_eq!(last("w17\n"), "no window starts at 17; there are 3000000");
    assert!(last("bnonsense>3\n").starts_with("\"nonsense\" is unknown; use step"), "{}", last("bnonsense>3\n"));
    assert_eq!(last("c"), "nothing to stop on yet: b sets a condition");
    assert!(last("bfailure\n").starts_with("[failure=true] c continues to failure=true"));
}

#[test]
fn a_small_terminal_says_so() {
    assert!(screen("", 40, 8).contains("The terminal is too small"));
}

#[test]
fn every_size_can_be_drawn_at_every_step() {
    for (width, height) in [(1, 1), (60, 16), (61, 17), (80, 24), (300, 100)] {
        for step in 0..10 {
            screen(&format!("g{step}\n"), width, height);
        }
    }
}
