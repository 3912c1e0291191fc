//! Output of commands: printing, result files and exit codes.
//!
//! Text from outside passes [`printable`] before a person sees it. This crate touches only the terminal and files that
//! an option names. [`output`] prints, [`OutFile`] is opened before the work, [`Exit`] lists the exit codes,
//! [`Palette`] chooses colors, [`in_terminal`] takes the screen and gives it back, [`table::render`] aligns columns.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod defect;
mod exit;
mod outfile;
pub mod output;
mod screen;
pub mod table;

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::io::IsTerminal;

pub use exit::{Exit, ExitError, is_denied};
pub use outfile::{OutFile, unusable};
pub use screen::{Palette, in_terminal};

/// Makes foreign text safe within a line: characters that could move a cursor, start a line or turn the reading
/// direction become spaces.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).collect()
}

/// Returns the start of foreign text that may be of any length, as [`printable`].
pub fn printable_start(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => printable(&text[..end]) + "…",
        None => printable(text),
    }
}

/// Makes whole lines safe to print: each character that could deceive a reader becomes its JSON escape, so that a JSON
/// document stays the same document. Line ends and tabs stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| matches!(c, '\n' | '\t') || !is_deceptive(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if is_plain(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("a String takes every write");
        }
    }
    Cow::Owned(out)
}

/// Returns a number with its noun, such as "1 window" or "2 windows".
pub fn counted(count: impl Display, noun: &str) -> String {
    match count.to_string().as_str() {
        "1" => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// Returns whether a character is invisible and changes the view of others: controls (C1 included), line and paragraph
/// separators, Unicode's formatting of direction, and characters without width.
fn is_deceptive(c: char) -> bool {
    let turns_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let has_no_width = matches!(
        c,
        '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    c.is_control() || turns_direction || separates || has_no_width
}

/// Returns whether a stream may be colored: it is a terminal, and nobody asked for plain text (<https://no-color.org>).
pub fn may_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_can_neither_forge_a_line_nor_turn_it_round() {
        assert_eq!(printable("ok\r\nERROR\u{1b}[2Jx\u{202e}gpj.exe\u{2066}\u{9b}2J"), "ok  ERROR [2Jx gpj.exe  2J");
        assert_eq!(printable("a\u{2028}b\u{feff}c\u{e0041}"), "a b c ");
        assert_eq!(printable("größer, 漢字 👩\u{200d}💻"), "größer, 漢字 👩\u{200d}💻");
    }

    #[test]
    fn one_of_something_is_singular() {
        assert_eq!([0u64, 1, 2].map(|count| counted(count, "window")), ["0 windows", "1 window", "2 windows"]);
    }

    #[test]
    fn only_the_beginning_of_endless_text_is_shown() {
        assert_eq!(printable_start("abc", 3), "abc");
        assert_eq!(printable_start("ab\u{7}d", 3), "ab …");
        assert_eq!(printable_start(&"ä".repeat(100_000), 2), "ää…");
    }

    #[test]
    fn output_keeps_line_ends_and_no_other_invisible_character() {
        let text = "größer\n\tequal";
        assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        let forged = "\u{1b}[2J\u{7}\r\u{7f}\u{9b}31m\u{202e}\u{2028}\u{e0041}";
        assert_eq!(escaped(forged), r"\u001b[2J\u0007\u000d\u007f\u009b31m\u202e\u2028\udb40\udc41");
    }

    #[test]
    fn a_json_document_stays_the_same() {
        let text: String = (0..0x3000).filter_map(char::from_u32).chain(['\u{feff}', '\u{e0041}', '😀']).collect();
        let document = serde_json::json!({ "a\u{9b}": [text] });
        for json in [document.to_string(), format!("{document:#}")] {
            let shown = escaped(&json);
            assert!(shown.chars().all(|c| c == '\n' || !is_deceptive(c)));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), document);
        }
    }
}
