//! What may be written to a terminal, and the whole terminal for one program.
//!
//! Text from outside passes [`printable`] before a person sees it. This crate touches the terminal and nothing else.
//! [`Palette`] chooses colors, [`in_terminal`] takes the screen and gives it back, and [`table::render`] aligns columns.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

mod screen;
pub mod table;

use std::io::IsTerminal;

pub use screen::{Palette, in_terminal};

/// Text from outside without what could move a cursor, forge a line or turn the reading direction: each such character is a
/// space.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns_direction(c) { ' ' } else { c }).collect()
}

/// Unicode's marks, embeddings, overrides and isolates of direction.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a stream may be coloured: it is a terminal, and nobody asked for plain text (<https://no-color.org>).
pub fn may_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_can_neither_forge_a_line_nor_turn_it_round() {
        assert_eq!(printable("ok\r\nERROR\u{1b}[2Jx\u{202e}gpj.exe\u{2066}\u{9b}2J"), "ok  ERROR [2Jx gpj.exe  2J");
        assert_eq!(printable("größer, 漢字"), "größer, 漢字");
    }
}
