//! Summary of a swarm.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::anyhow;
use serde::Serialize;

use super::Role;
use super::record::{Failure, Manifest, ShardFile};

/// All shards together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The plan, from the first shard.
    pub manifest: Manifest,
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds of the range that nobody has run.
    pub missing: u64,
    /// Seconds that all processes took together.
    pub process_s: f64,
    /// Seconds that passed meanwhile; 0 if that is not known.
    pub wall_s: f64,
    /// Seconds that the worlds lived, all together.
    pub virtual_s: f64,
    /// Windows that were judged, and accepted.
    pub windows: (u64, u64),
    /// Windows that validators were to judge, and those that they did judge in time.
    pub judged: (u64, u64),
    /// In how many worlds each mark was reached.
    pub marks: BTreeMap<String, u64>,
    /// Marks that no world reached.
    pub never_reached: Vec<String>,
    /// By fault: windows won and lost in worlds in which it had an effect.
    pub faults: BTreeMap<String, (u64, u64)>,
    /// Groups from which uploads were chosen, and those that a perfect miner would have had.
    pub groups: (u64, u64),
    /// Worlds by their income, in tenths of a perfect miner's.
    pub incomes: [u64; 10],
    /// By seed.
    pub failures: Vec<Failure>,
    /// Seeds per second of each batch, in the order in which each shard ran them.
    pub pace: Vec<f64>,
}

/// Marks that were not reached and are listed in a terminal; a short run misses scores of them.
const LISTED_MAX: usize = 12;

impl Summary {
    /// Of these shards.
    pub fn of(shards: &[ShardFile]) -> anyhow::Result<Self> {
        let first = shards.first().ok_or_else(|| anyhow!("no results are there; run `grail sim swarm` first"))?;
        if let Some(other) = shards.iter().find(|shard| !shard.manifest.agrees_with(&first.manifest)) {
            return Err(anyhow!(
                "{} and {} are of different builds or ranges; merge each in a folder of its own",
                first.manifest.file_name(),
                other.manifest.file_name()
            ));
        }
        let mut summary = Self { manifest: first.manifest.clone(), ..Self::default() };
        let mut seen = std::collections::BTreeSet::new();
        for batch in shards.iter().flat_map(|shard| &shard.batches) {
            // Shares that were cut differently overlap.
            let fresh = batch.seeds.iter().filter(|seed| seen.insert(**seed)).count() as u64;
            if fresh == 0 {
                continue;
            }
            summary.seeds += fresh;
            summary.process_s += batch.wall_ms as f64 / 1000.0;
            summary.virtual_s += batch.virtual_ms as f64 / 1000.0;
            summary.windows = (summary.windows.0 + batch.windows.0, summary.windows.1 + batch.windows.1);
            summary.judged = (summary.judged.0 + batch.judged.0, summary.judged.1 + batch.judged.1);
            summary.groups.0 += batch.groups.0;
            summary.groups.1 += batch.groups.1;
            summary.incomes.iter_mut().zip(batch.incomes).for_each(|(all, worlds)| *all += worlds);
            summary.pace.push(batch.seeds.len() as f64 * 1000.0 / batch.wall_ms.max(1) as f64);
            summary.failures.extend(batch.failures.iter().cloned());
            for (mark, count) in &batch.marks {
                *summary.marks.entry(mark.clone()).or_default() += count;
            }
            for (fault, (won, lost)) in &batch.faults {
                let (all_won, all_lost) = summary.faults.entry(fault.clone()).or_default();
                *all_won += won;
                *all_lost += lost;
            }
        }
        let range = &summary.manifest.seeds;
        summary.missing = (range.end - range.start).saturating_sub(summary.seeds);
        summary.failures.sort_by_key(|failure| failure.seed);
        let all = summary.manifest.role.marks().into_iter();
        summary.never_reached = all.filter(|mark| !summary.marks.contains_key(mark)).collect();
        Ok(summary)
    }

    /// Returns whether there is no failure and, with `all_marks`, every mark was reached.
    pub fn is_clean(&self, all_marks: bool) -> bool {
        self.failures.is_empty() && (!all_marks || self.never_reached.is_empty())
    }

    /// Seeds per second of one process.
    pub fn pace_per_process(&self) -> f64 {
        self.seeds as f64 / self.process_s.max(1e-3)
    }

    /// Returns one line while it runs.
    pub(super) fn progress(&self, wanted: u64) -> String {
        let Self { seeds, failures, .. } = self;
        let (pace, share) = (self.pace_per_process(), 100 * seeds / wanted.max(1));
        let failures = counted(failures.len(), "failure");
        format!("{seeds} of {wanted} seeds ({share} %), {pace:.1} seeds/s and process, {failures}")
    }

    /// Returns the summary as text.
    pub fn text(&self) -> String {
        let (seeds, failures) = (counted(self.seeds, "seed"), counted(self.failures.len(), "failure"));
        let mut text = format!("{seeds}, {failures}");
        if self.manifest.role != Role::Validator {
            let _ = write!(text, "; {} of {} won", self.windows.1, counted(self.windows.0, "window"));
        }
        if self.manifest.role != Role::Miner {
            let _ = write!(text, "; {} of {} judged", self.judged.1, counted(self.judged.0, "window"));
        }
        text.push('\n');
        let ratio = self.virtual_s / self.process_s.max(1e-3);
        let _ = writeln!(text, "{:.1} seeds/s and process, {ratio:.0} times real time", self.pace_per_process());
        if self.wall_s > 0.0 {
            let _ = writeln!(text, "{:.0} s in all", self.wall_s);
        }
        if self.manifest.role != Role::Validator {
            let (counted, best) = self.groups;
            let _ = writeln!(text, "{counted} groups of {best} that perfect miners would have had");
        }
        if self.missing > 0 {
            let _ = writeln!(text, "{} seeds of the range were not run; run their shards", self.missing);
        }
        let all = self.manifest.role.marks().len();
        let _ = writeln!(text, "{} of {all} marks reached", all - self.never_reached.len());
        let many = self.never_reached.len();
        if many > LISTED_MAX {
            let _ = writeln!(text, "  never reached: {many} marks, which the page and --json list");
        }
        for mark in self.never_reached.iter().filter(|_| many <= LISTED_MAX) {
            let _ = writeln!(text, "  never reached: {mark}");
        }
        for Failure { seed, violation, reproduce, .. } in &self.failures {
            let _ = writeln!(text, "seed {seed}: {violation}\n  reproduce: {reproduce}");
        }
        text.trim_end().to_owned()
    }
}

/// Returns a number with its noun.
pub(super) fn counted(count: impl std::fmt::Display, noun: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::super::record::Batch;
    use super::*;

    fn shard(index: u64, build: &str, seeds: &[u64]) -> ShardFile {
        let manifest = Manifest {
            format: 1,
            version: "0".to_owned(),
            build: build.to_owned(),
            seeds: 0..4,
            role: Role::Both,
            windows: 3,
            shard: index,
            shards: 2,
        };
        let marks = BTreeMap::from([("trouble/chain".to_owned(), 1)]);
        let batch = Batch {
            seeds: seeds.to_vec(),
            wall_ms: 500,
            virtual_ms: 1_000_000,
            windows: (6, 5),
            judged: (10, 9),
            groups: (30, 40),
            incomes: [0, 0, 0, 0, 0, 0, 0, 1, 0, 1],
            marks,
            ..Batch::default()
        };
        ShardFile { manifest, batches: vec![batch] }
    }

    #[test]
    fn shards_add_up_and_missing_ones_are_reported() {
        let whole = Summary::of(&[shard(0, "a", &[0, 2]), shard(1, "a", &[1, 3])]).expect("they agree");
        assert_eq!((whole.seeds, whole.missing, whole.windows), (4, 0, (12, 10)));
        assert_eq!(whole.marks["trouble/chain"], 2);
        assert_eq!((whole.groups, whole.incomes[7], whole.incomes[9]), ((60, 80), 2, 2));
        assert!(whole.text().contains("10 of 12 windows won; 18 of 20 windows judged"), "{}", whole.text());
        assert!(whole.text().contains("60 groups of 80 that perfect miners would have had"));
        assert!(!whole.never_reached.contains(&"trouble/chain".to_owned()) && !whole.is_clean(true));
        let many = whole.never_reached.len();
        assert!(whole.text().contains(&format!("  never reached: {many} marks, which the page")), "{}", whole.text());
        let few = Summary { never_reached: vec!["trouble/journal".to_owned()], ..whole };
        assert!(few.text().contains("  never reached: trouble/journal\n") || few.text().ends_with("trouble/journal"));
        let half = Summary::of(&[shard(0, "a", &[0, 2])]).expect("it agrees with itself");
        assert_eq!(half.missing, 2);
        assert!(half.text().contains("2 seeds of the range were not run"));
    }

    #[test]
    fn results_of_two_builds_are_not_mixed_and_nothing_counts_twice() {
        assert!(Summary::of(&[shard(0, "a", &[0, 2]), shard(1, "b", &[1, 3])]).is_err());
        assert!(Summary::of(&[]).is_err());
        let twice = Summary::of(&[shard(0, "a", &[0, 2]), shard(1, "a", &[0, 2])]).expect("they agree");
        assert_eq!(twice.seeds, 2);
    }
}
