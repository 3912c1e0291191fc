//! Speeds of engines: `speeds.toml`, for the simulated engine and the estimate.

use std::sync::LazyLock;

use grail_protocol::PROTOCOL;
use serde::Deserialize;

/// How fast an engine is, and how many groups it works on together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSpeed {
    /// Name on the command line.
    pub name: &'static str,
    /// Its description.
    pub what: &'static str,
    /// Source of the numbers.
    pub source: &'static str,
    /// Whether it is a GPU with the CUDA engine.
    pub is_gpu: bool,
    /// Groups that the engine takes at a time.
    pub groups_in_flight: usize,
    /// Groups that are drawn together.
    pub batch_groups: usize,
    /// Tokens per second over all rollouts of a whole batch.
    pub tokens_per_s: u64,
    /// Share of a whole batch's step that a single rollout's step takes as well, in percent.
    pub step_base_percent: u64,
    /// Microseconds of proof per token; proofs run one after another.
    pub proof_us_per_token: u64,
    /// Whether a group's prompt is proved once for all of its rollouts.
    pub shares_prompts: bool,
    /// Tokens of a model's completion for each token of a simulated one.
    pub stretch: u64,
}

/// The file.
#[derive(Deserialize)]
struct Speeds {
    engine: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    what: String,
    source: String,
    is_gpu: bool,
    batch_groups: usize,
    groups_ahead: usize,
    tokens_per_s: u64,
    step_base_percent: u64,
    proof_us_per_token: u64,
    shares_prompts: bool,
    stretch: u64,
}

static SPEEDS: LazyLock<Speeds> =
    LazyLock::new(|| toml::from_str(include_str!("../speeds.toml")).expect("the embedded file is read by a test"));

impl EngineSpeed {
    /// Returns every profile; the first is the default.
    pub fn all() -> Vec<Self> {
        SPEEDS.engine.iter().map(Self::of).collect()
    }

    /// Returns the GPUs among them.
    pub fn gpus() -> Vec<Self> {
        Self::all().into_iter().filter(|profile| profile.is_gpu).collect()
    }

    /// Returns the profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|profile| profile.name == name)
    }

    /// Creates an invented engine: one batch of all its groups, prompts proved once, steps like an H200's.
    pub const fn made_up(groups_in_flight: usize, tokens_per_s: u64, proof_us_per_token: u64) -> Self {
        Self {
            name: "case",
            what: "as the case says",
            source: "the case",
            is_gpu: false,
            groups_in_flight,
            batch_groups: groups_in_flight,
            tokens_per_s,
            step_base_percent: 27,
            proof_us_per_token,
            shares_prompts: true,
            stretch: 1,
        }
    }

    fn of(entry: &'static Entry) -> Self {
        Self {
            name: &entry.name,
            what: &entry.what,
            source: &entry.source,
            is_gpu: entry.is_gpu,
            groups_in_flight: entry.batch_groups + entry.groups_ahead,
            batch_groups: entry.batch_groups,
            tokens_per_s: entry.tokens_per_s,
            step_base_percent: entry.step_base_percent,
            proof_us_per_token: entry.proof_us_per_token,
            shares_prompts: entry.shares_prompts,
            stretch: entry.stretch,
        }
    }

    /// Returns rollouts that are drawn together at most.
    pub const fn rows_max(&self) -> usize {
        self.batch_groups * PROTOCOL.rollouts_per_group
    }

    /// Returns how long a step of this many rollouts takes, in microseconds.
    pub const fn step_us(&self, rows: usize) -> u64 {
        let (rows, rows_max) = (rows as u64, self.rows_max() as u64);
        let whole_us = rows_max * 1_000_000 / self.tokens_per_s;
        whole_us * (self.step_base_percent * rows_max + (100 - self.step_base_percent) * rows) / (100 * rows_max)
    }

    /// Microseconds of proof for rollouts of one group with completions of these lengths.
    pub fn proof_us(&self, prompt: u64, completions: &[u64]) -> u64 {
        let prompts = if self.shares_prompts { 1 } else { completions.len() as u64 };
        (prompts * prompt + completions.iter().sum::<u64>()) * self.proof_us_per_token
    }

    /// Microseconds in which a whole batch with completions of these lengths is drawn.
    pub fn draw_us(&self, completions: &[u64]) -> u64 {
        let mut lengths = completions.to_vec();
        lengths.sort_unstable();
        let mut drawn = 0;
        let mut sum_us = 0;
        for (ended, length) in lengths.iter().enumerate() {
            sum_us += (length - drawn) * self.step_us(lengths.len() - ended);
            drawn = *length;
        }
        sum_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// crates/cuda/NOTES.md: a batch of 64 groups with rollouts of 330 + 400 tokens takes about 27 s, 3,160 to 3,170 of
    /// them fit into 330 s, and one, 64 and 256 rollouts are drawn at 324, 13,100 and 28,200 tokens/s;
    /// so a whole batch is drawn in some 4 s, and its first group proved 0.4 s later.
    #[test]
    fn the_h200_makes_what_was_measured() {
        let h200 = EngineSpeed::named("h200").unwrap();
        let rate = |rows: usize| rows as u64 * 1_000_000 / h200.step_us(rows);
        assert!((rate(256) as i64 - 28_200).abs() < 50, "{}", rate(256));
        assert!((12_500..14_000).contains(&rate(64)), "{}", rate(64));
        assert!((270..330).contains(&rate(1)), "{}", rate(1));
        let drawn_us = h200.draw_us(&[400; 256]);
        let proof_us = h200.proof_us(330, &[400; 4]);
        let batch_ms = (drawn_us + 64 * proof_us) / 1_000;
        assert!((26_000..28_000).contains(&batch_ms), "{batch_ms}");
        let rollouts = 330_000 * 256 / batch_ms;
        assert!((3_100..=3_200).contains(&rollouts), "{rollouts}");
        assert!((3_500..5_000).contains(&((drawn_us + proof_us) / 1_000)));
    }

    #[test]
    fn those_that_end_early_make_steps_cheaper() {
        let h200 = EngineSpeed::named("h200").unwrap();
        assert_eq!(h200.draw_us(&[10, 10]), 10 * h200.step_us(2));
        assert_eq!(h200.draw_us(&[10, 30]), 10 * h200.step_us(2) + 20 * h200.step_us(1));
        let reference = EngineSpeed::named("reference").unwrap();
        let five_s = reference.draw_us(&[23, 46, 23, 23]);
        assert!(five_s.abs_diff(5_000_000) < 200, "one sequence at a time, 23 tokens/s: {five_s}");
    }

    #[test]
    fn every_profile_has_a_source_and_estimates_say_so() {
        for profile in EngineSpeed::all() {
            assert!(profile.source.starts_with("measured: ") || profile.source.starts_with("estimate: "));
            assert_eq!(profile.what.contains("estimated"), profile.source.starts_with("estimate"), "{}", profile.name);
        }
        assert_eq!(EngineSpeed::gpus().len(), 3);
    }
}
