//! Many simulated worlds: run in processes, resumed where they stopped, merged wherever they ran.
//!
//! It may use processes, files and the system's clock around the simulator, and changes nothing within a world; it knows
//! no command line and no network. [`run`] carries out [`SwarmOptions`] and gives a [`Summary`], a [`ShardFile`] is what
//! is on disk, and [`check::Log`] compares two runs of one world.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate runs worlds in processes; only what happens within a world is deterministic"
)]

pub mod check;
mod page;
mod record;
mod summary;
mod worker;

use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

pub use record::{Batch, Failure, Manifest, ShardFile, read_folder};
pub use summary::Summary;

/// Pause between two progress reports.
const PROGRESS: Duration = Duration::from_secs(2);

/// Configuration of a swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmOptions {
    /// Which worlds, over all shards.
    pub seeds: Range<u64>,
    /// Processes at a time; one for each core if none is given.
    pub jobs: Option<u64>,
    /// The share of the seeds to run here.
    pub shard: Shard,
    /// Folder of the results; seeds that have results are not run again.
    pub dir: PathBuf,
    /// Whose worlds are run; a seed has one of each role.
    pub role: Role,
    /// Windows of each world; a validator's have some more.
    pub windows: u64,
    /// Simulations spent on making a failing world smaller.
    pub shrink: usize,
}

/// Whose worlds a swarm runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A miner's.
    Miner,
    /// A validator's.
    Validator,
    /// Both.
    #[default]
    Both,
}

impl Role {
    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns every mark that a long enough swarm of this role reaches, sorted.
    fn marks(self) -> Vec<String> {
        let mut marks = if self == Self::Validator { Vec::new() } else { grail_sim::marks::all() };
        if self != Self::Miner {
            marks.extend(grail_judging::marks());
        }
        marks.sort_unstable();
        marks
    }
}

/// One share of the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

/// An event of a running swarm.
#[derive(Debug, Clone, PartialEq)]
pub enum News<'a> {
    /// Seeds of this process's share were run.
    Progress {
        /// How many so far, in this and earlier runs.
        done: u64,
        /// How many in all.
        wanted: u64,
        /// The same with speed and failures.
        text: String,
    },
    /// A world with a violation.
    Found(&'a str),
}

/// Runs this process's share, by itself or in further processes, and returns the summary; `worker` is the command that
/// runs a smaller share with one job and exits with 1 if it finds a violation.
///
/// # Errors
/// If results cannot be read or written, or a process cannot be started or is lost.
pub fn run(
    options: &SwarmOptions,
    worker: impl Fn(Shard) -> Command,
    mut reported: impl FnMut(News<'_>),
) -> anyhow::Result<Summary> {
    std::fs::create_dir_all(&options.dir).with_context(|| {
        format!("cannot write to {}; give --dir a folder that can be written", options.dir.display())
    })?;
    let began = Instant::now();
    let jobs = match options.jobs {
        Some(jobs) => jobs,
        None => std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
    };
    let share = (options.seeds.end - options.seeds.start) / options.shard.of;
    let jobs = jobs.min(share.max(1));
    if jobs == 1 {
        worker::run(options, &mut reported)?;
    } else {
        run_processes(options, jobs, worker, &mut reported)?;
    }
    let mut summary = results(options)?;
    summary.wall_s = began.elapsed().as_secs_f64();
    Ok(summary)
}

/// Returns one process per job, each with a share of this share.
fn run_processes(
    options: &SwarmOptions,
    jobs: u64,
    worker: impl Fn(Shard) -> Command,
    reported: &mut impl FnMut(News<'_>),
) -> anyhow::Result<()> {
    let Shard { index, of } = options.shard;
    let mut children = Vec::new();
    for job in 0..jobs {
        let shard = Shard { index: index + of * job, of: of * jobs };
        let child = worker(shard).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        children.push(child.context("no further process can be started; use fewer --jobs")?);
    }
    let began = Instant::now();
    let mut last_shown = Duration::ZERO;
    while children.iter_mut().any(|child| matches!(child.try_wait(), Ok(None))) {
        std::thread::sleep(Duration::from_millis(200));
        if began.elapsed() >= last_shown + PROGRESS {
            last_shown = began.elapsed();
            // A file that is being written may be cut short for a moment.
            if let Ok(summary) = results(options) {
                let wanted = (options.seeds.end - options.seeds.start) / of;
                reported(News::Progress { done: summary.seeds, wanted, text: summary.progress(wanted) });
            }
        }
    }
    for mut child in children {
        let status = child.wait().context("a process of the swarm was lost; run the command again to continue")?;
        // Exit code 1 means a finding, which is in the results.
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(anyhow!("a process of the swarm ended with {status}; run the command again to continue"));
        }
    }
    Ok(())
}

/// Returns the results of this program's processes so far; it ignores results of other builds.
fn results(options: &SwarmOptions) -> anyhow::Result<Summary> {
    let manifest = Manifest::of(options)?;
    let mut shards = read_folder(&options.dir)?;
    shards.retain(|shard| shard.manifest.agrees_with(&manifest));
    Summary::of(&shards)
}
