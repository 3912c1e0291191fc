//! The table of limits in `docs/security.md` names every budget for foreign bytes, with the value that the source has.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::TreeFile;

const PAGE: &str = "docs/security.md";
const HEADING: &str = "## Limits";
const SUFFIX: &str = "BYTES_MAX";
/// Limits on our own files, memory or calls, not on data from strangers.
const OWN: [(&str, &str); 9] = [
    ("chain/extrinsic.rs", "CREDENTIALS_BYTES_MAX"),
    ("chain/extrinsic.rs", "PAYLOAD_BYTES_MAX"),
    ("chain/storage.rs", "RAW_BYTES_MAX"),
    ("driver/products.rs", "WORKSPACE_BYTES_MAX"),
    ("tape/src/format.rs", "KEPT_BYTES_MAX"),
    ("tape/src/limits.rs", "RECORDED_BYTES_MAX"),
    ("operator/src/recording.rs", "TAPE_BYTES_MAX"),
    ("mine/restart.rs", "BYTES_MAX"),
    ("wandb/file.rs", "BYTES_MAX"),
];

/// A constant by its file and name.
type Place = (String, String);

pub(super) fn findings(files: &[TreeFile]) -> Vec<Finding> {
    let text = |file: &TreeFile| file.text.clone().unwrap_or_default();
    let Some(page) = files.iter().find(|file| file.path == PAGE).map(text) else { return Vec::new() };
    let rows = rows(&page);
    let mut constants = BTreeMap::new();
    for file in files.iter().filter(|file| is_source(&file.path)) {
        for (line, constant) in (1..).zip(text(file).lines()) {
            if let Some((name, value)) = constant_in(constant).filter(|(name, _)| is_budget(&file.path, name)) {
                constants.insert((file.path.clone(), name.to_owned()), (line, value.map(shown)));
            }
        }
    }
    let mut findings = Vec::new();
    for ((path, name), (line, value)) in &constants {
        let Some(value) = value else {
            findings.push(Finding::new(
                path,
                *line,
                format!("{name} is not a plain number"),
                "write N, N << M or N * M",
            ));
            continue;
        };
        match rows.get(&(path.clone(), name.clone())) {
            Some((_, stated)) if stated == value => {}
            Some((row, stated)) => {
                let what = format!("{name} of {path} is {value}, and the table says {stated}");
                findings.push(Finding::new(PAGE, *row, what, "write down the value that the source has"));
            }
            None => {
                let what = format!("{PAGE} does not name the budget {name}, {value}");
                findings.push(Finding::new(path, *line, what, "add a row with its test to the table of limits"));
            }
        }
    }
    for ((path, name), (row, _)) in rows.iter().filter(|(place, _)| !constants.contains_key(place)) {
        findings.push(Finding::new(PAGE, *row, format!("there is no {name} in {path}"), "fix the row or take it out"));
    }
    findings
}

/// Returns the names in the table's rows, with the line of each and the value in its second column.
fn rows(page: &str) -> BTreeMap<Place, (usize, String)> {
    let lines = (1..).zip(page.lines()).skip_while(|(_, line)| !line.starts_with(HEADING)).skip(1);
    let table = lines.take_while(|(_, line)| !line.starts_with("## ")).filter(|(_, line)| line.starts_with('|'));
    let row = |(number, line): (usize, &str)| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, path) = cells.get(3)?.strip_prefix('`')?.split_once("` in ")?;
        Some(((path.to_owned(), name.to_owned()), (number, cells.get(2)?.to_string())))
    };
    table.filter_map(row).collect()
}

fn is_source(path: &str) -> bool {
    let is_aside = ["xtask/", "fuzz/", "tests/", "benches/"].iter().any(|folder| path.starts_with(folder));
    path.ends_with(".rs") && !is_aside && !path.contains("/tests/") && !path.contains("/benches/")
}

fn is_budget(path: &str, name: &str) -> bool {
    name.ends_with(SUFFIX) && !OWN.iter().any(|(end, own)| name == *own && path.ends_with(end))
}

/// Returns names and value of a constant of a file; those of its test module are indented.
fn constant_in(line: &str) -> Option<(&str, Option<u64>)> {
    let visibility = ["pub ", "pub(crate) ", "pub(super) "].into_iter().find_map(|prefix| line.strip_prefix(prefix));
    let (name, rest) = visibility.unwrap_or(line).strip_prefix("const ")?.split_once(':')?;
    let (_, value) = rest.split_once('=')?;
    Some((name, value_of(value.split(';').next()?)))
}

fn value_of(expression: &str) -> Option<u64> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    match expression.split_once("<<") {
        Some((number_of, bits)) => Some(number(number_of)? << number(bits)?),
        None => expression.split('*').map(number).try_fold(1, |product, factor| Some(product * factor?)),
    }
}

fn shown(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(bits, _)| bytes >= 1 << bits && bytes.is_multiple_of(1 << bits));
    unit.map_or_else(|| format!("{bytes} B"), |(bits, unit)| format!("{} {unit}", bytes >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str, source: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TreeFile { path: path.to_owned(), text: Some(text.to_owned()) };
        let page =
            format!("# Hardening\n## Limits\n| what | limit | constant |\n|---|---|---|\n{page}\n## More\n| `A` |\n");
        let files = [file(PAGE, &page), file("src/a.rs", source), file("tests/b.rs", "const B_BYTES_MAX: u8 = 1;")];
        findings(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_budget_has_its_row_and_every_row_its_budget() {
        let row = |limit: &str| format!("| a file | {limit} | `A_BYTES_MAX` in src/a.rs |");
        for (source, limit) in [
            ("const A_BYTES_MAX: u64 = 512 << 20;", "512 MiB"),
            ("pub(crate) const A_BYTES_MAX: usize = 64 * 1024;", "64 KiB"),
            ("pub const A_BYTES_MAX: usize = 1 << 30;", "1 GiB"),
            ("const A_BYTES_MAX: usize = 1_000;", "1000 B"),
        ] {
            assert_eq!(found(&row(limit), source), [""; 0], "{source}");
            assert!(found(&row("7 MiB"), source)[0].contains(&format!("is {limit}, and the table says 7 MiB")));
            assert!(found("", source)[0].contains("does not name the budget A_BYTES_MAX"));
        }
        assert!(
            found(&row("1 MiB"), "const OTHER: usize = 1 << 20;")[0].contains("there is no A_BYTES_MAX in src/a.rs")
        );
        assert!(found("", "const A_BYTES_MAX: usize = size();")[0].contains("is not a plain number"));
        assert_eq!(found("", "    const A_BYTES_MAX: u8 = 1;"), [""; 0], "one of a test module");
    }
}
