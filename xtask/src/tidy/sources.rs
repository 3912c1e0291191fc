//! Rules for Rust source: an opening sentence, a bounded length, honest names, no leftovers, typed errors, a core
//! without ports.

use super::Finding;
use super::tree::TreeFile;

const LINES_MAX: usize = 500;
const TESTS_START: &str = "#[cfg(test)]";
const GRAB_BAGS: [&str; 6] = ["util.rs", "utils.rs", "helper.rs", "helpers.rs", "common.rs", "misc.rs"];
const GRAB_BAG_FOLDERS: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];
/// In pieces, so that this file does not find itself.
const LEFTOVERS: [&str; 6] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
    concat!("#[", "ignore"),
];
const MACHINE: &str = "crates/miner/src/machine";

type Rule = fn(&TreeFile, &str) -> Vec<Finding>;

const RULES: &[Rule] = &[opening, length, grab_bag, leftovers, text_errors, ports_in_the_machine];

pub(super) fn findings(file: &TreeFile) -> Vec<Finding> {
    let Some(text) = file.rust() else { return Vec::new() };
    RULES.iter().flat_map(|rule| rule(file, text)).collect()
}

fn opening(file: &TreeFile, text: &str) -> Vec<Finding> {
    let found = (!text.starts_with("//!"))
        .then(|| Finding::new(&file.path, 1, "no opening sentence", "start the file with `//!` and what it is for"));
    found.into_iter().collect()
}

fn length(file: &TreeFile, text: &str) -> Vec<Finding> {
    let lines = text.lines().take_while(|line| !line.starts_with(TESTS_START)).count();
    let found = (lines > LINES_MAX).then(|| {
        let what = format!("{lines} lines before the tests, more than {LINES_MAX}");
        Finding::new(&file.path, LINES_MAX + 1, what, "split the file along a concept")
    });
    found.into_iter().collect()
}

fn grab_bag(file: &TreeFile, _: &str) -> Vec<Finding> {
    let mut folders = file.path.split('/').rev().skip(1);
    let named_so = GRAB_BAGS.contains(&file.name()) || folders.any(|folder| GRAB_BAG_FOLDERS.contains(&folder));
    let found = named_so.then(|| Finding::new(&file.path, 1, "a grab-bag name", "name the file after what it holds"));
    found.into_iter().collect()
}

fn leftovers(file: &TreeFile, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        for leftover in LEFTOVERS.iter().filter(|leftover| content.contains(**leftover)) {
            findings.push(Finding::new(&file.path, line, format!("`{leftover}`"), "finish it or take it out"));
        }
    }
    findings
}

fn text_errors(file: &TreeFile, text: &str) -> Vec<Finding> {
    let opening = "Result<";
    let after_opening = text.match_indices(opening).filter(|(at, _)| !ends_in_word(&text[..*at]));
    let is_text = |at: &usize| error_type(&text[at + opening.len()..]).is_some_and(|error| is_text_type(error.trim()));
    let found = after_opening.map(|(at, _)| at).filter(is_text);
    let finding = |at: usize| {
        let line = text[..at].lines().count().max(1);
        Finding::new(&file.path, line, "an error that is text", "give the error a type that says who must act")
    };
    found.map(finding).collect()
}

fn ports_in_the_machine(file: &TreeFile, text: &str) -> Vec<Finding> {
    if !file.path.starts_with(MACHINE) {
        return Vec::new();
    }
    let names_ports = |content: &str| {
        let code = content.split("//").next().unwrap_or_default();
        code.match_indices("ports").any(|(at, word)| {
            let (before, after) = (&code[..at], &code[at + word.len()..]);
            let whole = !ends_in_word(before) && !after.starts_with(is_word);
            let is_path = before.ends_with("::") || after.starts_with("::") || code.trim_start().starts_with("use ");
            whole && is_path
        })
    };
    let found = (1..).zip(text.lines()).filter(|(_, content)| names_ports(content));
    let finding = |(line, _)| {
        let remedy = "let the driver call the port and hand its answer in as an event";
        Finding::new(&file.path, line, "the machine names a port", remedy)
    };
    found.map(finding).collect()
}

/// Returns the second argument of a `Result<…`, given what follows the opening bracket; `None` for an alias of one
/// argument.
fn error_type(arguments: &str) -> Option<&str> {
    let (mut depth, mut comma, mut previous) = (0, None, ' ');
    for (at, c) in arguments.char_indices() {
        match c {
            '>' if previous == '-' => {}
            '>' if depth == 0 => return comma.map(|comma| &arguments[comma + 1..at]),
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 && comma.is_none() => comma = Some(at),
            '{' | ';' if depth == 0 => return None,
            _ => {}
        }
        previous = c;
    }
    None
}

fn is_text_type(name: &str) -> bool {
    let name = name.trim_end_matches(',').trim_end();
    name == "String" || name.starts_with('&') && name.ends_with("str")
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(is_word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = TreeFile { path: path.to_owned(), text: Some(format!("//! A planted file.\n{text}")) };
        findings(&file).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    #[test]
    fn honest_source_is_clean() {
        let text = "use std::fmt;\nfn f() -> Result<u8, fmt::Error> { Ok(1) }\n";
        assert_eq!(found("crates/miner/src/machine/deadline.rs", text), []);
        let file = TreeFile { path: "notes.md".into(), text: Some(LEFTOVERS.concat()) };
        assert_eq!(findings(&file), []);
    }

    #[test]
    fn a_missing_opening_is_found() {
        let file = TreeFile { path: "a.rs".into(), text: Some("fn f() {}\n".into()) };
        assert_eq!(findings(&file)[0].to_string().split(": ").next(), Some("a.rs:1"));
    }

    #[test]
    fn length_counts_up_to_the_tests() {
        let long = "fn f() {}\n".repeat(500);
        assert_eq!(found("a.rs", &long).len(), 1);
        assert_eq!(found("a.rs", &format!("{TESTS_START}\n{long}")), []);
        assert_eq!(found("a.rs", &"fn f() {}\n".repeat(499)), []);
    }

    #[test]
    fn grab_bags_are_found_as_files_and_folders() {
        for path in ["src/utils.rs", "src/helpers.rs", "src/common/text.rs", "tests/common/mod.rs", "src/misc.rs"] {
            assert_eq!(found(path, ""), [(1, "a grab-bag name".to_owned())], "{path}");
        }
        assert_eq!(found("src/commons.rs", ""), []);
    }

    #[test]
    fn leftovers_are_found_with_their_line() {
        for leftover in LEFTOVERS {
            assert_eq!(found("a.rs", &format!("\nlet x = 1; // {leftover}")), [(3, format!("`{leftover}`"))]);
        }
    }

    #[test]
    fn errors_that_are_text_are_found() {
        let string = concat!("Str", "ing");
        for error in [string.to_owned(), format!("&'static {}", "str"), format!("&{}", "str"), format!("{string},")] {
            for ok in ["()", "Vec<(u8, u8)>", "fn(u8) -> u8", "Result<u8, fmt::Error>"] {
                let text = format!("fn f() -> Result<{ok}, {error}> {{}}");
                assert_eq!(found("a.rs", &text).len(), 1, "{text}");
            }
        }
        let across_lines = format!("\nfn f() -> Result<\n    u8,\n    {string},\n> {{}}");
        assert_eq!(found("a.rs", &across_lines), [(3, "an error that is text".to_owned())]);
        for honest in ["Result<String, E>", "io::Result<String>", "MyResult<u8, String>", "Result<(u8, String), E>"] {
            assert_eq!(found("a.rs", &format!("type T = {honest};")), [], "{honest}");
        }
    }

    #[test]
    fn ports_are_found_in_the_machine_alone() {
        for text in ["use crate::ports::Clock;", "use super::{ports, tape};", "fn f(c: &dyn ports::Clock) {}"] {
            for path in ["crates/miner/src/machine.rs", "crates/miner/src/machine/deadline.rs"] {
                assert_eq!(found(path, text), [(2, "the machine names a port".to_owned())], "{text}");
            }
            assert_eq!(found("crates/miner/src/driver.rs", text), []);
        }
        for text in ["// see crate::ports", "let reports = crate::reports::new();", "let ports = 3;"] {
            assert_eq!(found("crates/miner/src/machine.rs", text), [], "{text}");
        }
    }
}
