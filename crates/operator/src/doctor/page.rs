//! An examination as it is read, by people and by programs.

use serde_json::{Value, json};

use super::Examination;
use super::check::{Check, CheckStatus};
use grail_terminal::counted;

/// Changes whenever a field of the document does.
const DOCUMENT_VERSION: u32 = 1;
const RESET: &str = "\u{1b}[0m";

/// Groups in their order, each with the codes that it holds.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Configuration", &["config."]),
    ("Wallet", &["wallet."]),
    ("Network", &["network."]),
    ("Chain", &["chain."]),
    ("Beacon", &["beacon."]),
    ("Bucket", &["bucket."]),
    ("This machine", &["gpu.", "model.", "disk."]),
    ("Clocks", &["clock."]),
];

/// Returns groups of checks, a line for each check with its remedy below it, a sum, and whether mining would start.
pub fn page(examination: &Examination, in_color: bool) -> String {
    let width = examination.checks.iter().map(|check| check.code.len()).max().unwrap_or(0);
    let mut page = String::new();
    for (name, prefixes) in GROUPS {
        let is_in = |check: &&Check| prefixes.iter().any(|prefix| check.code.starts_with(prefix));
        let checks: String =
            examination.checks.iter().filter(is_in).map(|check| line(check, width, in_color)).collect();
        if !checks.is_empty() {
            page += &format!("{name}\n{checks}");
        }
    }
    let count = |status| examination.count(status);
    let [ok, warnings, failures, skipped] =
        [CheckStatus::Ok, CheckStatus::Warning, CheckStatus::Failure, CheckStatus::Skipped].map(count);
    page +=
        &format!("\n{ok} ok, {}, {}, {skipped} skipped\n", counted(warnings, "warning"), counted(failures, "failure"));
    page + &format!("ready to mine: {}\n", verdict(examination))
}

/// Returns the lines of all checks, without groups and sum.
pub fn lines(examination: &Examination, in_color: bool) -> String {
    let width = examination.checks.iter().map(|check| check.code.len()).max().unwrap_or(0);
    examination.checks.iter().map(|check| line(check, width, in_color)).collect()
}

/// Returns whether mining would start, and what prevents it.
fn verdict(examination: &Examination) -> String {
    let obstacles = examination.obstacles().count();
    let passing = match examination.failures().count() - obstacles {
        0 => String::new(),
        passing => format!("{} that may pass by themselves", counted(passing, "failure")),
    };
    match (obstacles, examination.may_mine(), passing.as_str()) {
        (0, true, "") => "yes".to_owned(),
        (0, true, passing) => format!("the miner starts, and waits for {passing}"),
        (0, false, passing) => format!("not yet, {passing}"),
        (obstacles, _, "") => format!("no, {}", counted(obstacles, "obstacle")),
        (obstacles, _, passing) => format!("no, {}, and {passing}", counted(obstacles, "obstacle")),
    }
}

/// Returns the report as one JSON object.
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

fn line(check: &Check, width: usize, in_color: bool) -> String {
    let Check { code, status, value, remedy, .. } = check;
    let word = format!("{:<7}", status.name());
    let word = match in_color {
        true => format!("{}{word}{RESET}", color(*status)),
        false => word,
    };
    let mut lines = format!("  {word}  {code:<width$}  {value}\n");
    if let Some(remedy) = remedy {
        let indent = 2 + 7 + 2 + width + 2;
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

#[cfg(test)]
mod tests {
    use super::super::check::Obstacle;
    use super::*;

    #[test]
    fn color_changes_nothing_but_color() {
        let checks = vec![
            Check::ok("config.x", "fine"),
            Check::warning("bucket.long_one", "so so", "fix it"),
            Check::blocked("chain.c", Obstacle::NoUid, "bad\nand broken", "fix this too"),
            Check::skipped("clock.d", "chain.c"),
        ];
        let examination = Examination { checks };
        let plain = page(&examination, false);
        let expected = [
            "Configuration",
            "  ok       config.x         fine",
            "Chain",
            "  failure  chain.c          bad and broken",
            "                            -> fix this too",
            "Bucket",
            "  warning  bucket.long_one  so so",
            "                            -> fix it",
            "Clocks",
            "  skipped  clock.d          needs chain.c",
            "",
            "1 ok, 1 warning, 1 failure, 1 skipped",
            "ready to mine: no, 1 obstacle\n",
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
