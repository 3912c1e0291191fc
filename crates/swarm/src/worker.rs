//! One process of a swarm: its seeds one after another, failing ones first.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context;
use grail_judging::{JudgingCase, JudgingReport, Verdicts, Watched, judge_world};
use grail_sim::case::Case;
use grail_sim::engine::Generator;
use grail_sim::run::{SimReport, simulate};
use grail_sim::shrink::{Shrinkable, failure_key, shrink};
use grail_sim::synthetic::SyntheticModel;
use serde::Serialize;

use super::record::{Batch, Failure, Manifest, Writer};
use super::summary::counted;
use super::{News, Role, SwarmOptions};

/// Seeds whose results are written together.
const BATCH: usize = 50;

/// Runs this share.
pub(super) fn run(options: &SwarmOptions, reported: &mut impl FnMut(News<'_>)) -> anyhow::Result<()> {
    let manifest = Manifest::of(options)?;
    let (mut writer, done, failing) = Writer::open(&options.dir, &manifest)?;
    let done: BTreeSet<u64> = done.into_iter().flat_map(|batch| batch.seeds).collect();
    let own = options.seeds.clone().filter(|seed| seed % manifest.shards == manifest.shard && !done.contains(seed));
    let mut seeds: Vec<u64> = own.collect();
    let is_own = |seed: &&u64| **seed % manifest.shards == manifest.shard;
    let mut count = done.iter().filter(is_own).count() as u64;
    let (wanted, mut failures, started) = (count + seeds.len() as u64, 0, Instant::now());
    let before = count;
    let failing: BTreeSet<u64> = failing.into_iter().collect();
    seeds.sort_by_key(|seed| !failing.contains(seed));
    let generator: Rc<dyn Generator> = Rc::new(SyntheticModel::default());
    let verdicts = Rc::new(Verdicts::new(generator.clone()));
    // A panic is a failure of its seed.
    std::panic::set_hook(Box::new(|_| {}));
    for seeds in seeds.chunks(BATCH) {
        let began = Instant::now();
        let mut batch = Batch { seeds: seeds.to_vec(), ..Batch::default() };
        for &seed in seeds {
            if options.role != Role::Validator {
                let case = Case::drawn(seed, options.windows);
                match run_case(&case, &generator) {
                    Ok(report) => batch.add(&report),
                    Err(failed) => {
                        let run = |case: &Case| run_case(case, &generator).map(drop);
                        batch.failures.push(keep(options, seed, "", case, &failed, run, reported)?);
                    }
                }
            }
            if options.role != Role::Miner {
                let case = JudgingCase::drawn(seed, options.windows);
                match run_judging(&case, &verdicts) {
                    Ok(report) => batch.add_judging(&report),
                    Err(failed) => {
                        let run = |case: &JudgingCase| run_judging(case, &verdicts).map(drop);
                        batch.failures.push(keep(options, seed, "-validator", case, &failed, run, reported)?);
                    }
                }
            }
        }
        batch.wall_ms = began.elapsed().as_millis() as u64;
        writer.append(&batch)?;
        count += seeds.len() as u64;
        failures += batch.failures.len();
        let pace = (count - before) as f64 / started.elapsed().as_secs_f64().max(1e-3);
        let text = format!("{count} of {wanted} seeds, {pace:.1} seeds/s, {}", counted(failures, "failure"));
        reported(News::Progress { done: count, wanted, text });
    }
    Ok(())
}

/// Violations of the oracles, in order; at least one.
type Violations = Vec<String>;

fn run_case(case: &Case, generator: &Rc<dyn Generator>) -> Result<SimReport, Violations> {
    let config = case.config(generator.clone());
    watched(|| simulate(&config, |_| {}), |report: &SimReport| &report.violations)
}

fn run_judging(case: &JudgingCase, verdicts: &Rc<Verdicts>) -> Result<JudgingReport, Violations> {
    watched(|| judge_world(case, verdicts, Watched::default()), |report: &JudgingReport| &report.violations)
}

/// Runs a world; a panic is a violation too.
fn watched<R>(world: impl FnOnce() -> R, violations: impl FnOnce(&R) -> &[String]) -> Result<R, Violations> {
    let report = catch_unwind(AssertUnwindSafe(world)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![format!("panic: {}", text.unwrap_or_default())]
    })?;
    let violations = violations(&report).to_vec();
    if violations.is_empty() { Ok(report) } else { Err(violations) }
}

/// Makes a failing world smaller, and keeps it; the role's name is empty for miners.
fn keep<W: Shrinkable + Serialize>(
    options: &SwarmOptions,
    seed: u64,
    role: &str,
    case: W,
    failed: &[String],
    run: impl Fn(&W) -> Result<(), Violations>,
    reported: &mut impl FnMut(News<'_>),
) -> anyhow::Result<Failure> {
    let violation = failed[0].clone();
    let key = failure_key(&violation);
    let path = options.dir.join(format!("seed-{seed}{role}.case"));
    let write = |case: &W| {
        let text = serde_json::to_string_pretty(case).expect("plain data has an encoding") + "\n";
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written; free the disk", path.display()))
    };
    write(&case)?;
    let mut fails = |smaller: &W| run(smaller).is_err_and(|failed| failure_key(&failed[0]) == key);
    write(&shrink(&case, options.shrink, &mut fails))?;
    let reproduce = format!("grail sim --case {}", path.display());
    reported(News::Found(&format!("seed {seed}: {violation}; reproduce: {reproduce}")));
    Ok(Failure { seed, key, violation, reproduce })
}

impl Batch {
    fn add_judging(&mut self, report: &JudgingReport) {
        self.judged = (self.judged.0 + report.windows.0, self.judged.1 + report.windows.1);
        self.virtual_ms += report.virtual_ms;
        for mark in report.marks.keys() {
            *self.marks.entry(mark.clone()).or_default() += 1;
        }
    }

    fn add(&mut self, report: &SimReport) {
        let income = report.income();
        self.groups = (self.groups.0 + income.had as u64, self.groups.1 + income.possible as u64);
        self.incomes[((income.share() * 10.0) as usize).min(9)] += 1;
        self.virtual_ms += report.virtual_ms;
        let won = report.windows.iter().filter(|window| window.judgment.outcome() == "accepted").count() as u64;
        let lost = report.windows.len() as u64 - won;
        self.windows = (self.windows.0 + won + lost, self.windows.1 + won);
        for mark in report.marks.keys() {
            *self.marks.entry(mark.clone()).or_default() += 1;
        }
        for kind in report.effects.keys() {
            let (all_won, all_lost) = self.faults.entry(kind.name().to_owned()).or_default();
            *all_won += won;
            *all_lost += lost;
        }
    }
}
