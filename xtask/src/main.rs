//! The project's chores: golden vectors, layout checks, fixtures.

mod corpus;
mod endurance;
mod fixtures;
mod live;
mod mutants;
mod nightly;
mod tape;
mod tidy;
mod trace_hashes;
mod traces;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use grail::args::ReplayArguments;
use grail::commands::golden;
use grail_live::device::DeviceChoice;
use grail_terminal::output;

#[derive(Parser)]
#[command(about, bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the golden vectors; fails on any miss.
    Golden {
        /// Run every vector below this folder instead of those in fixtures/.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Device that computes golden proofs: cpu, cuda, or cuda:1 for the second GPU.
        #[arg(long, default_value = "cpu", value_name = "DEVICE")]
        device: DeviceChoice,
    },
    /// Replay tapes with this build of the core; fails if a decision differs.
    Replay {
        /// As `grail replay`.
        #[command(flatten)]
        arguments: Box<ReplayArguments>,
        /// Replay fixtures/tapes instead: differences become pending, and tapes that nothing names are listed.
        #[arg(long)]
        review: bool,
        /// Accept the pending differences of this tape.
        #[arg(long, value_name = "NAME", requires = "review", requires = "reason")]
        accept: Option<String>,
        /// Why they are intended.
        #[arg(long, value_name = "TEXT", requires = "accept")]
        reason: Option<String>,
    },
    /// Tapes of the fixtures, and old formats.
    Tape {
        /// The subcommand.
        #[command(subcommand)]
        chore: tape::TapeChore,
    },
    /// Check layout and style; fails on any finding.
    Tidy,
    /// Mine for simulated days in a served world with faults, and report growth and lost windows.
    Endurance(endurance::EnduranceArguments),
    /// Verify fixtures/ against fixtures/SHA256SUMS.
    Fixtures {
        /// Copy the fixtures from this folder first and record their sums.
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
        /// Record the sums of the present files, after an intended change.
        #[arg(long)]
        record: bool,
    },
    /// Apply each patch of sim/mutants, count the worlds until the simulator finds the bug, and write docs/mutants.md.
    Mutants {
        /// Try this bug alone, and write no table.
        #[arg(long, value_name = "NAME", conflicts_with = "generated")]
        only: Option<String>,
        /// Try what `cargo mutants` makes of the core instead: with its tests, then the survivors with the simulator.
        #[arg(long)]
        generated: bool,
        /// The share of the generated ones to try: K of N, counted from 0.
        #[arg(long, value_name = "K/N", requires = "generated")]
        shard: Option<String>,
    },
    /// Run the tests that CI samples with all of their cases, in a release build.
    Nightly {
        /// Run only those whose test begins with this.
        #[arg(long, value_name = "TEST")]
        only: Option<String>,
    },
    /// Verify fixtures/trace-hashes.json against what the simulations give.
    Traces {
        /// Record the hashes and the fixtures' sums, after an intended change of behavior.
        #[arg(long)]
        record: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::aside(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a chore. Returns whether it found no problem.
fn run(chore: Chore) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().expect("xtask is a folder of the workspace");
    match chore {
        Chore::Golden { dir, device } => golden::report(&root.join("fixtures"), dir.as_deref(), device),
        Chore::Replay { review: true, accept, reason, .. } => {
            tape::review(&root.join("fixtures"), accept.as_deref().zip(reason.as_deref()))
        }
        Chore::Replay { arguments, .. } => Ok(grail::commands::replay::run(&arguments)? == grail::exit::Exit::Success),
        Chore::Tape { chore } => tape::run(&root.join("fixtures"), &chore),
        Chore::Mutants { generated: true, shard, .. } => mutants::generated(root, shard.as_deref()),
        Chore::Mutants { only, .. } => mutants::run(root, only.as_deref()),
        Chore::Nightly { only } => nightly::run(only.as_deref().unwrap_or_default()),
        Chore::Tidy => tidy::run(root),
        Chore::Endurance(arguments) => endurance::run(&arguments),
        Chore::Fixtures { source, record } => fixtures::run(&root.join("fixtures"), source.as_deref(), record),
        Chore::Traces { record } => traces::run(&root.join("fixtures"), record),
    }
}
