//! Many simulated worlds: run in processes, resumed where they stopped, merged wherever they ran.

pub mod check;
mod merge;
mod page;
mod record;
mod summary;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::args::swarm::{Shard, SwarmArguments};

pub use merge::{merge, read_folder};
pub use record::{Batch, Failure, Manifest, ShardFile};
pub use summary::Summary;
pub use worker::{FailedCase, run_case};

/// Run this process's share, by itself or in further processes, and give what all of it came to.
pub fn run(arguments: &SwarmArguments, mut told: impl FnMut(&str)) -> anyhow::Result<Summary> {
    std::fs::create_dir_all(&arguments.dir).with_context(|| {
        format!("cannot write to {}; give --dir a folder that can be written", arguments.dir.display())
    })?;
    let began = Instant::now();
    let jobs = match arguments.jobs {
        Some(jobs) => jobs,
        None => std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
    };
    let share = (arguments.seeds.end - arguments.seeds.start) / arguments.shard.of;
    let jobs = jobs.min(share.max(1));
    if jobs == 1 {
        worker::run(arguments, &mut told)?;
    } else {
        run_processes(arguments, jobs, &mut told)?;
    }
    let mut summary = results(arguments)?;
    summary.wall_s = began.elapsed().as_secs_f64();
    Ok(summary)
}

/// One process per job, each with a share of this share.
fn run_processes(arguments: &SwarmArguments, jobs: u64, told: &mut impl FnMut(&str)) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program's own file cannot be found")?;
    let Shard { index, of } = arguments.shard;
    let mut children = Vec::new();
    for job in 0..jobs {
        let shard = Shard { index: index + of * job, of: of * jobs };
        let child = Command::new(&program)
            .args(["sim", "swarm", "--worker", "--jobs", "1"])
            .arg("--seeds")
            .arg(format!("{}..{}", arguments.seeds.start, arguments.seeds.end))
            .arg("--shard")
            .arg(format!("{}/{}", shard.index, shard.of))
            .arg("--dir")
            .arg(&arguments.dir)
            .args(["--windows", &arguments.windows.to_string(), "--shrink", &arguments.shrink.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        children.push(child.context("no further process can be started; use fewer --jobs")?);
    }
    let began = Instant::now();
    let mut last_told = Duration::ZERO;
    while children.iter_mut().any(|child| matches!(child.try_wait(), Ok(None))) {
        std::thread::sleep(Duration::from_millis(200));
        if began.elapsed() >= last_told + Duration::from_secs(10) {
            last_told = began.elapsed();
            // A file that is being written may be cut short for a moment.
            if let Ok(summary) = results(arguments) {
                told(&summary.progress(arguments.seeds.end - arguments.seeds.start));
            }
        }
    }
    for mut child in children {
        let status = child.wait().context("a process of the swarm was lost; run the command again to go on")?;
        // 1 is a finding, which lies in the results.
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(anyhow!("a process of the swarm ended with {status}; run the command again to go on"));
        }
    }
    Ok(())
}

/// What this program's processes wrote so far; results of other builds in the folder are left alone.
fn results(arguments: &SwarmArguments) -> anyhow::Result<Summary> {
    let manifest = Manifest::of(arguments)?;
    let mut shards = read_folder(&arguments.dir)?;
    shards.retain(|shard| shard.manifest.agrees_with(&manifest));
    Summary::of(&shards)
}

/// Where a failing world is kept.
fn case_path(dir: &Path, seed: u64) -> PathBuf {
    dir.join(format!("seed-{seed}.case"))
}
