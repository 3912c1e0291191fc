//! An examination as it is read, by people and by programs.

use serde_json::{Value, json};

use super::Examination;
use super::check::{Check, CheckStatus};

/// Changes whenever a field of the document does.
const DOCUMENT_VERSION: u32 = 1;
const RESET: &str = "\u{1b}[0m";

/// One line per check, with its remedy below it, and a sum at the end.
pub fn page(examination: &Examination, in_color: bool) -> String {
    let width = examination.checks.iter().map(|check| check.code.len()).max().unwrap_or(0);
    let mut page: String = examination.checks.iter().map(|check| lines(check, width, in_color)).collect();
    let count = |status| examination.count(status);
    let [ok, warnings, failures, skipped] =
        [CheckStatus::Ok, CheckStatus::Warning, CheckStatus::Failure, CheckStatus::Skipped].map(count);
    page +=
        &format!("\n{ok} ok, {}, {}, {skipped} skipped\n", counted(warnings, "warning"), counted(failures, "failure"));
    page
}

/// The same as one JSON object.
pub fn document(examination: &Examination) -> Value {
    let count = |status| examination.count(status);
    json!({
        "version": DOCUMENT_VERSION,
        "grail": env!("CARGO_PKG_VERSION"),
        "checks": examination.checks,
        "summary": {
            "ok": count(CheckStatus::Ok),
            "warning": count(CheckStatus::Warning),
            "failure": count(CheckStatus::Failure),
            "skipped": count(CheckStatus::Skipped),
            "may_mine": examination.may_mine(),
        },
    })
}

fn lines(check: &Check, width: usize, in_color: bool) -> String {
    let Check { code, status, value, remedy, .. } = check;
    let word = format!("{:<7}", status.name());
    let word = match in_color {
        true => format!("{}{word}{RESET}", color(*status)),
        false => word,
    };
    let mut lines = format!("{word}  {code:<width$}  {value}\n");
    if let Some(remedy) = remedy {
        let indent = 7 + 2 + width + 2;
        lines += &format!("{:indent$}-> {remedy}\n", "");
    }
    lines
}

const fn color(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Ok => "\u{1b}[32m",
        CheckStatus::Warning => "\u{1b}[33m",
        CheckStatus::Failure => "\u{1b}[31m",
        CheckStatus::Skipped => "\u{1b}[2m",
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_changes_nothing_but_color() {
        let checks = vec![
            Check::ok("a.b", "fine"),
            Check::warning("a.long_one", "so so", "mend it"),
            Check::failure("c", "bad\nand broken", "mend this too"),
            Check::skipped("d", "c"),
        ];
        let examination = Examination { checks };
        let plain = page(&examination, false);
        let expected = [
            "ok       a.b         fine",
            "warning  a.long_one  so so",
            "                     -> mend it",
            "failure  c           bad and broken",
            "                     -> mend this too",
            "skipped  d           needs c",
            "",
            "1 ok, 1 warning, 1 failure, 1 skipped\n",
        ];
        assert_eq!(plain, expected.join("\n"));
        let mut colored = page(&examination, true);
        assert_ne!(colored, plain);
        for code in [RESET, "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[31m", "\u{1b}[2m"] {
            colored = colored.replace(code, "");
        }
        assert_eq!(colored, plain);
    }
}
