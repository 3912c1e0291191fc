//! `grail sim swarm` and `grail sim check` as typed.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use grail_swarm::{Role, Shard};

/// `grail sim swarm`. Exit codes: 0 nothing found, 1 something found, 2 cannot run.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n\
        \x20 grail sim swarm --seeds 0..1000 --dir results\n\
        \x20 grail sim swarm --seeds 0..1000 --shard 0/4 --dir results")]
pub struct SwarmArguments {
    /// Merge the results of shards instead.
    #[command(subcommand)]
    pub command: Option<SwarmCommand>,
    /// Seeds of the worlds: from A up to, but not including, B.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..1000")]
    pub seeds: Range<u64>,
    /// Processes at a time [default: one for each core].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub jobs: Option<u64>,
    /// The share of the seeds to run here: the I-th of N, counted from 0.
    #[arg(long, value_name = "I/N", value_parser = shard, default_value = "0/1")]
    pub shard: Shard,
    /// Folder of the results; seeds that have results are not run again.
    #[arg(long, value_name = "DIR", default_value = "swarm")]
    pub dir: PathBuf,
    /// Whose worlds to run; a seed has one of each role.
    #[arg(long, value_enum, default_value_t = RoleChoice::Both)]
    pub role: RoleChoice,
    /// Windows of each world; a validator's have 2 to 24 more.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub windows: u64,
    /// Simulations spent on making a failing world smaller.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub shrink: usize,
    /// Fail if a mark is never reached.
    #[arg(long)]
    pub require_marks: bool,
    /// Leave the summary to the process that started this one.
    #[arg(long, hide = true)]
    pub worker: bool,
    /// Print one JSON object as the last line of standard output.
    #[arg(long)]
    pub json: bool,
}

/// Whose worlds, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleChoice {
    /// A miner's worlds.
    Miner,
    /// A validator's worlds.
    Validator,
    /// Both.
    Both,
}

impl From<RoleChoice> for Role {
    fn from(choice: RoleChoice) -> Self {
        match choice {
            RoleChoice::Miner => Self::Miner,
            RoleChoice::Validator => Self::Validator,
            RoleChoice::Both => Self::Both,
        }
    }
}

/// The subcommands of `grail sim swarm`.
#[derive(Debug, Subcommand)]
pub enum SwarmCommand {
    /// Read the results of all shards of a swarm, print a summary, and write summary.json and summary.html.
    Merge(MergeArguments),
}

/// `grail sim swarm merge`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail sim swarm merge results")]
pub struct MergeArguments {
    /// A folder, or s3://BUCKET/PATH with the keys in the AWS_* variables.
    #[arg(value_name = "DIR|s3://BUCKET/PATH")]
    pub from: String,
    /// Folder for the summary [default: the folder itself, or the present one].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Fail if a mark is never reached.
    #[arg(long)]
    pub require_marks: bool,
    /// Print one JSON object as the last line of standard output.
    #[arg(long)]
    pub json: bool,
}

/// `grail sim check`. Exit codes: 0 the same twice, 1 not, 2 cannot run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail sim check --seed 3")]
pub struct CheckArguments {
    /// The world to run twice, in two processes.
    #[arg(long)]
    pub seed: u64,
    /// Number of windows to mine and judge.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub windows: u64,
    /// Run it once, and write its log to this file.
    #[arg(long, hide = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

fn seeds(text: &str) -> Result<Range<u64>, clap::Error> {
    let wrong = || clap::Error::raw(clap::error::ErrorKind::ValueValidation, "give a range like 0..1000\n");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn shard(text: &str) -> Result<Shard, clap::Error> {
    let wrong = || clap::Error::raw(clap::error::ErrorKind::ValueValidation, "give a share like 0/4\n");
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let shard = Shard { index: index.parse().map_err(|_| wrong())?, of: of.parse().map_err(|_| wrong())? };
    if shard.index < shard.of { Ok(shard) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_shares_are_read_and_wrong_ones_refused() {
        assert_eq!(seeds("5..9").expect("a range"), 5..9);
        assert_eq!(shard("3/4").expect("a share"), Shard { index: 3, of: 4 });
        assert!(["", "5", "9..5", "5..", "a..b"].iter().all(|text| seeds(text).is_err()));
        assert!(["", "4/4", "1", "-1/2"].iter().all(|text| shard(text).is_err()));
    }
}
