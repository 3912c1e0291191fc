//! What a validator computes in a window: the files of many miners, one after another.

use std::time::Instant;

use grail_cuda::{CudaEngineError, ProofPlan, Prover, Sequence};

use super::proof::RANDOMNESS;
use super::window::{COMPLETION_MAX, PROMPT};
use super::{Bench, BenchReport};

/// Miners of a window, and rollouts of each that a validator computes again.
const MINERS: u32 = 35;
const ROLLOUTS: u32 = 20;
/// Files that are timed; all others cost the same.
const FILES: u32 = 5;
const LONGEST_FILES: u32 = 2;
/// Rollouts that share a prompt.
const GROUP: u32 = 4;

/// Returns the tokens of a completion, by file and rollout.
type Length = fn(u32, u32) -> usize;

impl Bench {
    /// Adds the seconds that a window's files take: of completions like the model's, and of the longest there are.
    pub(super) fn judging(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let mut prover = self.verifier(ProofPlan::default())?;
        let longest = |_, _| COMPLETION_MAX;
        let lengths =
            [("410 tokens on average", FILES, completion as Length), ("1024 tokens", LONGEST_FILES, longest as Length)];
        for (what, files, length) in lengths {
            // A length's first occurrence finds its kernels, once in a validator's life.
            (0..files).try_for_each(|file| judge(&mut prover, &self.file(file, length)))?;
            let begin = Instant::now();
            (0..files).try_for_each(|file| judge(&mut prover, &self.file(file, length)))?;
            let file_s = begin.elapsed().as_secs_f64() / f64::from(files);
            let remark = format!("{:.1} ms a rollout", file_s * 1e3 / f64::from(ROLLOUTS));
            let what = format!("judging {MINERS} files of {ROLLOUTS} rollouts, completions of {what}");
            report.remark(what, file_s * f64::from(MINERS), "s", None, remark);
        }
        Ok(())
    }

    /// Returns a file's rollouts; each group has a prompt of its own.
    fn file(&self, file: u32, length: Length) -> Vec<Vec<u32>> {
        let rollout = |rollout: u32| {
            let mut tokens = self.rollout(PROMPT as usize + length(file, rollout), rollout);
            tokens[0] = file * ROLLOUTS + rollout / GROUP;
            tokens
        };
        (0..ROLLOUTS).map(rollout).collect()
    }
}

/// Returns how long a completion is; those of one file differ, and no two files have the same.
fn completion(file: u32, rollout: u32) -> usize {
    (100 + 31 * rollout + file * 7919 % 31) as usize
}

/// Computes a file's rollouts again, as many together as can be.
fn judge(prover: &mut Prover, file: &[Vec<u32>]) -> Result<(), CudaEngineError> {
    let mut left: Vec<Sequence<'_>> = file.iter().map(|tokens| Sequence { tokens, prompt_length: 1 }).collect();
    while !left.is_empty() {
        let mut passes = prover.passes_with_first(&left, RANDOMNESS)?.into_iter();
        left.retain(|_| passes.next().flatten().is_none());
    }
    Ok(())
}
