//! Trace hashes that are recorded in `fixtures`: any change of the miner's or the simulated world's behavior shows there.
//!
//! Each is recorded under the command that prints it, and computed from that command's own arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::Parser;
use grail_sim::run::simulate;
use serde::{Deserialize, Serialize};

use grail::args::{Arguments, Command};
use grail::commands;

/// The file's name under `fixtures`.
pub(crate) const FILE: &str = "trace-hashes.json";
/// Remedy for a difference.
pub(crate) const REMEDY: &str = "to see what changed, run the command with `--trace FILE` here and on the commit that recorded \
                          the hash, and compare the two files; if the change is intended, run `cargo xtask traces --record`";

const WHAT: &str = "the trace_hash that each command prints; `cargo xtask traces --record` records them again";
const SEEDS: u64 = 3;
const FAULTS: [&str; 2] = ["none", "random"];

/// Hashes by command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TraceHashes {
    what: String,
    trace_hashes: BTreeMap<String, String>,
}

impl TraceHashes {
    /// Runs every command.
    pub(crate) fn compute() -> Self {
        let commands = (1..=SEEDS).flat_map(|seed| FAULTS.map(|faults| command(seed, faults)));
        Self { what: WHAT.to_owned(), trace_hashes: commands.map(|c| (c.clone(), trace_hash(&c))).collect() }
    }

    /// Returns the recorded hashes.
    ///
    /// # Errors
    /// If there are none, or the file does not have the form of [`TraceHashes::text`].
    pub(crate) fn read(fixtures: &Path) -> anyhow::Result<Self> {
        let path = fixtures.join(FILE);
        let bytes = std::fs::read(&path).map_err(|error| {
            let why = format!("cannot be read ({error}); record it with `cargo xtask traces --record`");
            anyhow::Error::new(error).context(format!("{}: {why}", path.display()))
        })?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let why = format!("malformed ({error}); record it again with `cargo xtask traces --record`");
            anyhow::Error::new(error).context(format!("{}: {why}", path.display()))
        })
    }

    /// Returns the file's text.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and hashes are plain text") + "\n"
    }

    /// Returns every command whose hash differs from `recorded`, and every recorded command that no longer runs.
    pub(crate) fn differences(&self, recorded: &Self) -> Vec<String> {
        let shown = |hashes: &Self, command: &str| {
            hashes.trace_hashes.get(command).map_or("none".to_owned(), |hash| hash.chars().take(16).collect())
        };
        let commands: BTreeSet<&String> = self.trace_hashes.keys().chain(recorded.trace_hashes.keys()).collect();
        let differing = commands.into_iter().filter(|c| self.trace_hashes.get(*c) != recorded.trace_hashes.get(*c));
        let difference = |c: &String| format!("{c}\n  recorded {}, now {}", shown(recorded, c), shown(self, c));
        differing.map(difference).collect()
    }
}

/// Three windows with more groups in flight than a validator checks whole.
fn command(seed: u64, faults: &str) -> String {
    format!("grail sim --engine synthetic --windows 3 --groups-max 12 --policy all --seed {seed} --faults {faults}")
}

fn trace_hash(command: &str) -> String {
    let arguments = Arguments::try_parse_from(command.split(' ')).expect("the commands are this file's own");
    let Command::Sim(arguments) = &arguments.command else { unreachable!("every command is a simulation") };
    let config = commands::sim::config(arguments).expect("the commands are this file's own");
    simulate(&config, |_| {}).trace_hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(entries: &[(&str, &str)]) -> TraceHashes {
        let trace_hashes = entries.iter().map(|(command, hash)| ((*command).to_owned(), (*hash).to_owned())).collect();
        TraceHashes { what: WHAT.to_owned(), trace_hashes }
    }

    #[test]
    fn every_recorded_command_still_prints_its_trace_hash() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        let recorded = TraceHashes::read(&fixtures).unwrap_or_else(|error| panic!("{error}"));
        let differences = TraceHashes::compute().differences(&recorded);
        assert!(differences.is_empty(), "{}\n{REMEDY}", differences.join("\n"));
    }

    #[test]
    fn changed_new_and_missing_commands_are_distinguished() {
        let recorded = hashes(&[("same", "1"), ("changed", "2"), ("vanished", "3")]);
        let now = hashes(&[("same", "1"), ("changed", "4"), ("new", "5")]);
        let expected =
            ["changed\n  recorded 2, now 4", "new\n  recorded none, now 5", "vanished\n  recorded 3, now none"];
        assert_eq!(now.differences(&recorded), expected);
        assert_eq!(now.differences(&now), Vec::<String>::new());
    }

    #[test]
    fn hashes_are_read_as_they_are_written() {
        let hashes = hashes(&[("grail sim --seed 1", "ab")]);
        assert_eq!(serde_json::from_str::<TraceHashes>(&hashes.text()).unwrap(), hashes);
    }

    #[test]
    fn a_missing_file_is_an_error_that_says_how_to_record_it() {
        let error = TraceHashes::read(Path::new("nowhere")).unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("cargo xtask traces --record"), "{error}");
    }
}
