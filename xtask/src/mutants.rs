//! `cargo xtask mutants`: plant each bug, count the seeds until the simulator finds it, and write the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use grail::output;
use grail_miner::mutants::Mutant;

const FILE: &str = "docs/mutants.md";
const OPENING: &str = "\
# Planted bugs, and how soon the simulator finds them

Each bug is planted in the miner behind the feature `mutants`, and worlds are drawn from seed 0 on until something \
forbidden happens. A bug that 2,000 seeds do not find fails `cargo xtask mutants`, which writes this table.
";

/// Hunt for every bug; whether each was found.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let mut hunt = Command::new(env!("CARGO"))
        .args([
            "test",
            "--release",
            "-p",
            "grail-sim",
            "--features",
            "mutants",
            "--test",
            "it",
            "--",
            "mutants::",
            "--nocapture",
        ])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be started")?;
    let output = hunt.stdout.take().context("the hunt has no output")?;
    let mut found = BTreeMap::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        // The harness may begin a line of its own before ours.
        let row = line.find("mutant|").map(|at| line[at..].split('|').map(str::to_owned).collect::<Vec<_>>());
        if let Some([_, name, seeds, how]) = row.as_deref() {
            output::line(format_args!("{name}: {seeds} seeds, {how}"));
            found.insert(name.clone(), (seeds.clone(), how.clone()));
        }
    }
    let is_complete = hunt.wait()?.success();
    std::fs::create_dir_all(root.join("docs"))?;
    std::fs::write(root.join(FILE), table(&found)).with_context(|| format!("{FILE} cannot be written"))?;
    output::line(format_args!("mutants: {} of {} found; the table is in {FILE}", found.len(), Mutant::ALL.len()));
    Ok(is_complete && found.len() == Mutant::ALL.len())
}

fn table(found: &BTreeMap<String, (String, String)>) -> String {
    let mut text =
        format!("{OPENING}\n| bug | what is wrong | of the reference | seeds | found by |\n|---|---|---|---|---|\n");
    for mutant in Mutant::ALL {
        let (seeds, how) = found.get(mutant.name()).map_or(("not found", ""), |(seeds, how)| (seeds, how));
        let reference = if mutant.is_of_the_reference() { "yes" } else { "" };
        let how = how.replace('|', "/");
        let _ = writeln!(text, "| {} | {} | {reference} | {seeds} | {how} |", mutant.name(), mutant.what());
    }
    text + "\nThe reference's other faults, defaults that disagree and silence without -v, are none of the core's \
            decisions; the tests of the configuration and of the command line are about them.\n"
}
