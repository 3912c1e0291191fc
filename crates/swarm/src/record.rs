//! Format of a shard's file: a manifest, then one line per batch of seeds.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use grail_sim::case::FORMAT;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Role, Shard, SwarmOptions};

/// Plan of a run; written before the first world runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The number of the format of worlds and of this file.
    pub format: u32,
    /// The program's version.
    pub version: String,
    /// Digest of the program itself, which separates results of different builds.
    pub build: String,
    /// The whole range, of all shards.
    pub seeds: Range<u64>,
    /// Whose worlds.
    pub role: Role,
    /// Windows of each world.
    pub windows: u64,
    /// Which share of the seeds.
    pub shard: u64,
    /// Of how many.
    pub shards: u64,
}

/// Results of some seeds of a shard, in the order in which they ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// How long they took, in milliseconds.
    pub wall_ms: u64,
    /// How long their worlds lived, in milliseconds.
    pub virtual_ms: u64,
    /// Windows that were judged, and accepted.
    pub windows: (u64, u64),
    /// Windows that validators were to judge, and those in which every selected miner has a verdict or a reason in time.
    #[serde(default)]
    pub judged: (u64, u64),
    /// In how many worlds each mark was reached.
    pub marks: BTreeMap<String, u64>,
    /// By fault: windows won and lost in worlds in which it had an effect.
    pub faults: BTreeMap<String, (u64, u64)>,
    /// Groups from which uploads were chosen, and those that a perfect miner would have had.
    #[serde(default)]
    pub groups: (u64, u64),
    /// Worlds by their income: below a tenth, below two tenths, and so on; the last are the others.
    #[serde(default)]
    pub incomes: [u64; 10],
    /// Violations of the oracles.
    pub failures: Vec<Failure>,
}

/// A world with a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Key that failures of the same kind share.
    pub key: String,
    /// The first violation.
    pub violation: String,
    /// Command that reproduces it.
    pub reproduce: String,
}

/// One shard's file.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardFile {
    /// The plan.
    pub manifest: Manifest,
    /// The results.
    pub batches: Vec<Batch>,
}

impl Manifest {
    /// Returns this process's share of the options.
    pub fn of(options: &SwarmOptions) -> anyhow::Result<Self> {
        let Shard { index, of } = options.shard;
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: build()?,
            seeds: options.seeds.clone(),
            role: options.role,
            windows: options.windows,
            shard: index,
            shards: of,
        })
    }

    /// Returns the name of the shard's file.
    pub fn file_name(&self) -> String {
        let Self { seeds, shard, shards, .. } = self;
        format!("seeds-{}-{}-shard-{shard}-of-{shards}.jsonl", seeds.start, seeds.end)
    }

    /// Returns whether results of both belong together.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let common = |m: &Self| (m.format, m.build.clone(), m.seeds.clone(), m.role, m.windows);
        common(self) == common(other)
    }
}

impl ShardFile {
    /// Reads the file; a line that a crash cut does not count.
    pub fn parse(text: &str, name: &str) -> anyhow::Result<Self> {
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let remedy = "remove the file to run its seeds again";
        let first = lines.next().ok_or_else(|| anyhow!("{name} is empty; {remedy}"))?;
        let manifest = serde_json::from_str(first).with_context(|| format!("{name} has no manifest; {remedy}"))?;
        let batches = lines.map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Self { manifest, batches: batches.with_context(|| format!("{name} is damaged; {remedy}"))? })
    }
}

/// Returns every shard's file in a folder.
///
/// # Errors
/// If the folder or one of its results cannot be read.
pub fn read_folder(dir: &Path) -> anyhow::Result<Vec<ShardFile>> {
    let unreadable = || format!("{} cannot be read; name the folder that --dir named", dir.display());
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(&path).with_context(unreadable)?;
            shards.push(ShardFile::parse(&text, &path.display().to_string())?);
        }
    }
    shards.sort_by_key(|shard| (shard.manifest.shards, shard.manifest.shard));
    Ok(shards)
}

/// A shard's file that is written to.
pub(super) struct Writer(File);

impl Writer {
    /// Continues or starts a shard. Returns its results so far, and the failing seeds of an earlier build.
    pub(super) fn open(dir: &Path, manifest: &Manifest) -> anyhow::Result<(Self, Vec<Batch>, Vec<u64>)> {
        let path = dir.join(manifest.file_name());
        let unusable = || format!("{} cannot be used; give --dir another folder", path.display());
        let text = if path.exists() { std::fs::read_to_string(&path).with_context(unusable)? } else { String::new() };
        let known = ShardFile::parse(&text, &path.display().to_string()).ok();
        let (batches, failing) = match known {
            Some(known) if known.manifest == *manifest => (known.batches, Vec::new()),
            Some(old) => (Vec::new(), old.batches.iter().flat_map(|b| &b.failures).map(|f| f.seed).collect()),
            None => (Vec::new(), Vec::new()),
        };
        let lines = std::iter::once(line(manifest)).chain(batches.iter().map(line)).collect::<String>();
        let partial = PathBuf::from(format!("{}.partial", path.display()));
        std::fs::write(&partial, lines).and_then(|()| std::fs::rename(&partial, &path)).with_context(unusable)?;
        let file = OpenOptions::new().append(true).open(&path).with_context(unusable)?;
        Ok((Self(file), batches, failing))
    }

    /// Adds the results of some seeds.
    pub(super) fn append(&mut self, batch: &Batch) -> anyhow::Result<()> {
        self.0.write_all(line(batch).as_bytes()).context("a result cannot be written; free the disk, then run it again")
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data has an encoding") + "\n"
}

/// Returns the start of the sha256 of this program.
fn build() -> anyhow::Result<String> {
    let program = std::env::current_exe().and_then(std::fs::read).context("this program's own file cannot be read")?;
    Ok(hex::encode(&Sha256::digest(program)[..8]))
}
