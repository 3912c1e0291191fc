//! `grail sim swarm`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use futures_util::{StreamExt, TryStreamExt};
use grail_swarm::{News, Shard, ShardFile, Summary, SwarmOptions, read_folder};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::args::swarm::{MergeArguments, SwarmArguments, SwarmCommand};
use crate::exit::Exit;
use grail_http::{Connector, http_client};
use grail_observe::contract::Schema;
use grail_terminal::output;

/// Pause between two progress lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) fn run(arguments: &SwarmArguments) -> anyhow::Result<Exit> {
    if let Some(SwarmCommand::Merge(arguments)) = &arguments.command {
        return merge(arguments);
    }
    let program = std::env::current_exe().context("this program's own file cannot be found")?;
    let options = options(arguments);
    let mut progress = Progress::new(arguments.worker);
    let summary = grail_swarm::run(&options, |shard| worker(&program, &options, shard), |news| progress.tell(&news))?;
    progress.bar.finish_and_clear();
    if !arguments.worker {
        show(&summary, &arguments.dir, arguments.json)?;
    }
    Ok(exit_code(&summary, arguments.require_marks))
}

/// Progress of a swarm: a bar on a terminal, lines elsewhere.
struct Progress {
    bar: ProgressBar,
    /// Whether the process that started this one reports it.
    is_silent: bool,
    last_line: Instant,
}

impl Progress {
    fn new(is_silent: bool) -> Self {
        let is_shown = !is_silent && io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {msg}, {eta} left");
        let style = style.expect("the template is a constant that parses");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Self { bar, is_silent, last_line: Instant::now() }
    }

    fn tell(&mut self, news: &News<'_>) {
        match news {
            News::Found(text) => self.bar.suspend(|| output::aside(text)),
            News::Progress { done, wanted, text } => {
                self.bar.set_length(*wanted);
                self.bar.set_position(*done);
                self.bar.set_message(text.clone());
                if self.bar.is_hidden() && !self.is_silent && self.last_line.elapsed() >= LINE_EVERY {
                    self.last_line = Instant::now();
                    output::aside(text);
                }
            }
        }
    }
}

fn options(arguments: &SwarmArguments) -> SwarmOptions {
    let SwarmArguments { seeds, jobs, shard, dir, role, windows, shrink, .. } = arguments;
    SwarmOptions {
        seeds: seeds.clone(),
        jobs: *jobs,
        shard: *shard,
        dir: dir.clone(),
        role: (*role).into(),
        windows: *windows,
        shrink: *shrink,
    }
}

/// The command of this program for a share of the seeds.
fn worker(program: &Path, options: &SwarmOptions, shard: Shard) -> Command {
    let SwarmOptions { seeds, dir, role, windows, shrink, .. } = options;
    let mut command = Command::new(program);
    command
        .args(["sim", "swarm", "--worker", "--jobs", "1"])
        .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)])
        .args(["--shard", &format!("{}/{}", shard.index, shard.of)])
        .arg("--dir")
        .arg(dir)
        .args(["--role", role.name()])
        .args(["--windows", &windows.to_string(), "--shrink", &shrink.to_string()]);
    command
}

fn merge(arguments: &MergeArguments) -> anyhow::Result<Exit> {
    let from = &arguments.from;
    let shards = if from.starts_with("s3://") { read_store(from)? } else { read_folder(Path::new(from))? };
    let summary = Summary::of(&shards)?;
    let own = if arguments.from.contains("://") { PathBuf::from(".") } else { PathBuf::from(&arguments.from) };
    show(&summary, arguments.out.as_deref().unwrap_or(&own), arguments.json)?;
    Ok(exit_code(&summary, arguments.require_marks))
}

/// Prints and writes the summary.
fn show(summary: &Summary, dir: &Path, json: bool) -> anyhow::Result<()> {
    let document = serde_json::to_value(summary).context("plain data has an encoding")?;
    let document = Schema::Swarm.stamp(document).to_string();
    for (name, content) in [("summary.json", document.clone() + "\n"), ("summary.html", summary.html())] {
        let path = dir.join(name);
        let unusable = || format!("cannot write {}; give --out a folder that can be written", path.display());
        std::fs::write(&path, content).with_context(unusable)?;
    }
    output::line(if json { document } else { summary.text() });
    if !json {
        output::line(format!("page: {}", dir.join("summary.html").display()));
    }
    Ok(())
}

fn exit_code(summary: &Summary, require_marks: bool) -> Exit {
    if summary.is_clean(require_marks) { Exit::Success } else { Exit::Negative }
}

/// Most objects that are checked below an address.
const SHARDS_MAX: usize = 10_000;
/// Longest file of a shard; a million seeds have some MB.
const SHARD_BYTES_MAX: u64 = 256 << 20;

/// Returns every shard's file below an address; keys, region and endpoint come from the AWS variables of the
/// environment.
fn read_store(address: &str) -> anyhow::Result<Vec<ShardFile>> {
    let runtime = grail_operator::runtime()?;
    let unreadable = || format!("{address} cannot be read; check its name and the AWS_* variables");
    runtime.block_on(async {
        let store = AmazonS3Builder::from_env()
            .with_url(address)
            .with_http_connector(Connector(http_client(10_000, 60_000)?))
            .build()
            .with_context(unreadable)?;
        let prefix = address.trim_start_matches("s3://").split_once('/').map_or("", |(_, path)| path);
        let prefix = ObjectPath::parse(prefix.trim_matches('/')).map_err(|error| anyhow!("{address}: {error}"))?;
        let listed = store.list(Some(&prefix)).take(SHARDS_MAX + 1);
        let objects: Vec<_> = listed.try_collect().await.with_context(unreadable)?;
        if objects.len() > SHARDS_MAX {
            bail!("{address} holds more than {SHARDS_MAX} objects; name the folder of the shards alone");
        }
        let mut shards = Vec::new();
        for object in objects.iter().filter(|object| object.location.as_ref().ends_with(".jsonl")) {
            let shard = store.get(&object.location).await.with_context(unreadable)?;
            if shard.meta.size > SHARD_BYTES_MAX {
                bail!("{} has {} bytes, and no shard is that large; remove it", object.location, shard.meta.size);
            }
            let bytes = shard.bytes().await?;
            shards.push(ShardFile::parse(&String::from_utf8_lossy(&bytes), object.location.as_ref())?);
        }
        shards.sort_by_key(|shard| (shard.manifest.shards, shard.manifest.shard));
        Ok(shards)
    })
}
