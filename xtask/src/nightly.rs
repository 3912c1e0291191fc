//! `cargo xtask nightly`: the same tests as in CI with far more cases, in a release build.
//!
//! Each takes minutes to hours at these numbers and rarely breaks, so CI runs a small sample of it.

use std::process::Command;

use anyhow::{Context, ensure};
use grail_terminal::output;

/// A test with the number of cases that it gets at night.
struct Chore {
    /// The package and its test binary; `lib` for the unit tests.
    package: &'static str,
    target: &'static str,
    /// The test's name, or the start of several.
    test: &'static str,
    variable: &'static str,
    cases: u32,
    /// Why CI runs fewer.
    why: &'static str,
}

const CHORES: [Chore; 15] = [
    Chore {
        package: "grail",
        target: "cli",
        test: "bombs",
        variable: "GRAIL_TEST_BOMBS",
        cases: 10,
        why: "a bomb takes seconds, since it needs its gigabyte; CI tries two of a kind of file",
    },
    Chore {
        package: "grail-sim",
        target: "it",
        test: "swarm",
        variable: "GRAIL_SWARM_SEEDS",
        cases: 20_000,
        why: "seven minutes on two cores; CI runs a fixed sample of the seeds",
    },
    Chore {
        package: "grail-sim",
        target: "it",
        test: "scenarios::random_faults",
        variable: "GRAIL_RANDOM_FAULT_SEEDS",
        cases: 200,
        why: "CI runs a fixed sample of the seeds, and the swarm's worlds, whose faults are limited",
    },
    Chore {
        package: "grail-judging",
        target: "it",
        test: "no_drawn_world",
        variable: "GRAIL_SWARM_SEEDS",
        cases: 20_000,
        why: "seven minutes; each world is a validator's and its twin's",
    },
    Chore {
        package: "grail-sim",
        target: "it",
        test: "fork",
        variable: "GRAIL_FORK_SEEDS",
        cases: 100,
        why: "forks from every event of a tape, a minute for 100 seeds",
    },
    Chore {
        package: "grail-sim",
        target: "it",
        test: "rivals",
        variable: "GRAIL_SUBNET_WINDOWS",
        cases: 240,
        why: "a whole day of a subnet of 256 hotkeys",
    },
    Chore {
        package: "grail-tape",
        target: "it",
        test: "tape",
        variable: "GRAIL_TAPE_SEEDS",
        cases: 200,
        why: "200 recorded worlds replayed; one world takes a second in a test build",
    },
    Chore {
        package: "grail-tape",
        target: "it",
        test: "validator::every_recorded_world",
        variable: "GRAIL_TAPE_SEEDS",
        cases: 1_000,
        why: "1,000 validators recorded and replayed; some worlds have 256 hotkeys",
    },
    Chore {
        package: "grail-journal",
        target: "it",
        test: "crash_images",
        variable: "GRAIL_TEST_IMAGES",
        cases: 120_000,
        why: "every way in which a disk can lose unsynced writes of a window, ten minutes",
    },
    Chore {
        package: "grail",
        target: "served",
        test: "mine::crash::nothing_clean_is_lost",
        variable: "GRAIL_TEST_KILLS",
        cases: 1_000,
        why: "kills of a running miner, half an hour of real windows",
    },
    Chore {
        package: "grail",
        target: "served",
        test: "network::a_validator_that_is_killed",
        variable: "GRAIL_TEST_VALIDATOR_KILLS",
        cases: 100,
        why: "kills of a running validator, five minutes of real windows",
    },
    Chore {
        package: "grail",
        target: "served",
        test: "network::a_cheat_that_turns_honest",
        variable: "GRAIL_TEST_PENALTY_WINDOWS",
        cases: 12,
        why: "a penalty lasts twelve windows, which take nine seconds each",
    },
    Chore {
        package: "grail",
        target: "served",
        test: "mine::failing_calls::every_call",
        variable: "GRAIL_TEST_CALLS",
        cases: 40,
        why: "each case is a miner that lives through a window of real time",
    },
    Chore {
        package: "grail-engine",
        target: "lib",
        test: "silent_corruption",
        variable: "GRAIL_TEST_FLIPS",
        cases: 1_000,
        why: "each flipped bit costs a group of the toy model",
    },
    Chore {
        package: "grail-debugger",
        target: "it",
        test: "browser",
        variable: "GRAIL_TEST_TOKENS_PER_S",
        cases: 30_000,
        why: "a timeline of a fast GPU takes a browser a minute to draw",
    },
];

/// The fuzz targets: they are outside the workspace, so nothing else compiles them.
const FUZZ: &str = "fuzz";

/// Runs every chore whose test begins with `only`, and compiles the fuzz targets; whether all passed.
pub(crate) fn run(only: &str) -> anyhow::Result<bool> {
    let chosen: Vec<&Chore> = CHORES.iter().filter(|chore| chore.test.starts_with(only)).collect();
    let with_fuzz = FUZZ.starts_with(only);
    let count = chosen.len() + usize::from(with_fuzz);
    ensure!(count > 0, "no test of the list begins with {only:?}; see xtask/src/nightly.rs");
    let mut failed = Vec::new();
    let mut cargo = |name: String, command: &mut Command| -> anyhow::Result<()> {
        if !command.status().context("cargo cannot be started")?.success() {
            failed.push(name);
        }
        Ok(())
    };
    for &&Chore { package, target, test, variable, cases, why } in &chosen {
        output::line(format_args!("== {package} {test}, {variable}={cases}: {why}"));
        let mut command = Command::new("cargo");
        command.args(["test", "--release", "--package", package]);
        match target {
            "lib" => command.arg("--lib"),
            target => command.args(["--test", target]),
        };
        command.args([test, "--", "--nocapture"]).env(variable, cases.to_string());
        cargo(format!("{package} {test}"), &mut command)?;
    }
    if with_fuzz {
        output::line("== the fuzz targets compile");
        cargo(FUZZ.to_owned(), Command::new("cargo").args(["check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    }
    output::line(format_args!("nightly: {} of {count} passed", count - failed.len()));
    failed.iter().for_each(|name| output::line(format_args!("failed: {name}")));
    Ok(failed.is_empty())
}
