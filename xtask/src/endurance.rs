//! `cargo xtask endurance`: days of windows for the unmodified `grail mine` in a served world in which every other window
//! has a fault; what grew meanwhile, and which windows were lost.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "processes and servers run in real time")]

mod account;
mod measure;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use grail_protocol::PROTOCOL;
use grail_serve::{ServeEvent, ServeFault, ServeOptions, Served};
use grail_terminal::output;
use serde_json::Value;

use crate::live::{self, Ended};
use account::{Window, Windows};
use measure::{Sample, Samples};

/// Blocks in an hour of the real chain.
const BLOCKS_AN_HOUR: f64 = 300.0;
/// How often the miner is checked.
const SAMPLED_EVERY: Duration = Duration::from_secs(5);
/// How long the validator may take after the last window.
const PATIENCE: Duration = Duration::from_secs(120);

/// Duration, speed and folder.
#[derive(Debug, Args)]
pub(crate) struct EnduranceArguments {
    /// Simulated hours, of 300 blocks each.
    #[arg(long, default_value_t = 24.0)]
    hours: f64,
    /// Seconds between two blocks.
    #[arg(long, default_value_t = 0.25)]
    block_time: f64,
    /// Most groups per window, so that the engine leaves the machine some time.
    #[arg(long, default_value_t = 2)]
    groups_max: u32,
    /// The program that mines; built as this one is if none is named.
    #[arg(long, value_name = "FILE")]
    grail: Option<PathBuf>,
    /// Folder for world, data folder, log and figures; must not exist yet.
    #[arg(long, default_value = "target/endurance")]
    dir: PathBuf,
}

/// Runs it. Returns whether nothing grew and no winnable window was lost.
pub(crate) fn run(arguments: &EnduranceArguments) -> anyhow::Result<bool> {
    let dir = &arguments.dir;
    ensure!(!dir.exists(), "{} is there already; give --dir another folder", dir.display());
    let grail = arguments.grail.clone().map_or_else(live::built, Ok)?;
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let block_ms = (arguments.block_time * 1000.0).round() as u64;
    let served = Served::start(&ServeOptions { block_ms, ..ServeOptions::new(dir.join("world")) })?;
    let miner = start(&grail, dir, served.env_file(), arguments.groups_max)?;
    let last = head(&served) + (arguments.hours * BLOCKS_AN_HOUR) as u64;
    let mut run = Run { served, miner, data: dir.join("data"), samples: Samples::default(), windows: BTreeMap::new() };
    run.until(last)?;
    run.end()?;
    let window_seconds = PROTOCOL.window_blocks as f64 * arguments.block_time;
    let windows = Windows::new(run.windows.into_values(), window_seconds);
    fs::write(dir.join("windows.csv"), windows.csv())?;
    fs::write(dir.join("samples.csv"), run.samples.csv())?;
    output::text(format_args!("{}{}", windows.summary(), run.samples.summary()));
    Ok(!windows.has_lost_what_was_winnable() && !run.samples.has_grown())
}

fn start(grail: &Path, dir: &Path, env_file: &Path, groups_max: u32) -> anyhow::Result<Ended> {
    let data = dir.join("data");
    let mut miner = Command::new(grail);
    // Variables of this process would win over the world's file.
    miner.env_clear().env("HOME", &data).args(["mine", "--device", "cpu", "--json", "-v"]);
    miner.arg("--groups-max").arg(groups_max.to_string());
    miner.arg("--env-file").arg(env_file).arg("--data-dir").arg(&data);
    miner.stdin(Stdio::null()).stdout(File::create(dir.join("receipts"))?).stderr(File::create(dir.join("log"))?);
    Ok(Ended(miner.spawn().context("the miner cannot be started")?))
}

fn head(served: &Served) -> u64 {
    served.world().chain.state().head()
}

struct Run {
    served: Served,
    miner: Ended,
    data: PathBuf,
    samples: Samples,
    windows: BTreeMap<u64, Window>,
}

impl Run {
    fn until(&mut self, last: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut sampled = None::<Instant>;
        while head(&self.served) < last {
            if sampled.is_none_or(|at| at.elapsed() >= SAMPLED_EVERY) {
                sampled = Some(Instant::now());
                self.samples.0.push(Sample::take(began.elapsed(), self.miner.0.id(), &self.data)?);
            }
            self.strike();
            if let Some(ServeEvent::Judged(verdict)) = self.served.next_event(Some(Duration::from_millis(50))) {
                output::line(verdict.line());
                let window = self.windows.entry(verdict.judgment.window_start);
                window.and_modify(|window| window.judged = Some(verdict.is_accepted()));
            }
            ensure!(self.miner.0.try_wait()?.is_none(), "the miner ended; its log is next to {}", self.data.display());
        }
        self.served.world().heal();
        Ok(())
    }

    /// Switches the world's faults to those of this block.
    fn strike(&mut self) {
        let head = head(&self.served);
        let start = grail_protocol::constants::window_start(head);
        let waited = measure::waited_seconds(self.miner.0.id());
        let window = self.windows.entry(start).or_insert_with(|| {
            let fault = account::fault_of(start / PROTOCOL.window_blocks);
            Window { start, fault, waited_at: (waited, waited), ..Window::default() }
        });
        window.waited_at.1 = waited;
        let Some(fault) = window.fault else { return };
        let (from, until) = fault.stretch(0, start);
        if !window.has_struck && head >= from {
            window.has_struck = true;
            let blocks = u32::try_from(until - from).unwrap_or(u32::MAX);
            // By time and not by block, since a chain that is stuck reaches none.
            self.served.fault_for(fault, Duration::from_millis(self.served.world().block_ms) * blocks);
        }
    }

    /// Ends the miner, and waits for the validator.
    fn end(&mut self) -> anyhow::Result<()> {
        let stopped = Command::new("kill").arg("-TERM").arg(self.miner.0.id().to_string()).status()?;
        ensure!(stopped.success(), "the miner had ended before its world did");
        let status = self.miner.0.wait()?;
        ensure!(status.success(), "the miner ended with {status}");
        let receipts = self.data.with_file_name("receipts");
        for line in BufReader::new(File::open(&receipts)?).lines() {
            let receipt: Value = serde_json::from_str(&line?)?;
            if let Some(window) = receipt["window"].as_u64().and_then(|start| self.windows.get_mut(&start)) {
                window.receipt = Some(receipt);
            }
        }
        // The last ones are cut short by the end.
        let complete =
            grail_protocol::constants::window_start(head(&self.served)).saturating_sub(2 * PROTOCOL.window_blocks);
        self.windows.retain(|start, _| *start <= complete);
        let began = Instant::now();
        while self.windows.get(&complete).is_some_and(|window| window.judged.is_none()) && began.elapsed() < PATIENCE {
            if let Some(ServeEvent::Judged(verdict)) = self.served.next_event(Some(Duration::from_secs(1))) {
                let window = self.windows.entry(verdict.judgment.window_start);
                window.and_modify(|window| window.judged = Some(verdict.is_accepted()));
            }
        }
        Ok(())
    }
}

/// Returns the faults: all but busy threads, which would slow other programs on this machine.
fn faults() -> impl Iterator<Item = ServeFault> + Clone {
    ServeFault::ALL.iter().copied().filter(|fault| *fault != ServeFault::SlowEngine)
}
