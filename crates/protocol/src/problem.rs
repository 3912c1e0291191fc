//! SAT problems: the canonical one of a hotkey, block hash and index, and the generator behind it.

use sha2::{Digest, Sha256};

use crate::python_random::PythonRandom;

/// Seed and difficulty of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSeed {
    /// Seed text, 64 hex digits for canonical problems.
    pub seed: String,
    /// Difficulty, 0.3 to 0.9 for canonical problems.
    pub difficulty: f64,
}

/// A SAT problem in conjunctive normal form.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Its seed and difficulty.
    pub origin: ProblemSeed,
    /// Number of variables; they are x1 … xn.
    pub num_vars: usize,
    /// Each clause's literals: a variable's number, negative where it is negated.
    pub clauses: Vec<Vec<i32>>,
}

impl ProblemSeed {
    /// Returns the canonical seed and difficulty of group `index` of this hotkey in the window that `block_hash`
    /// starts.
    pub fn canonical(hotkey: &str, block_hash: &str, index: u32) -> Self {
        let material = format!("{hotkey}:{block_hash}:{index}");
        let seed = hex::encode(Sha256::digest(format!("seed|{material}")));
        let digest: [u8; 32] = Sha256::digest(format!("diff|{material}")).into();
        let head = u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"));
        // CPython divides the exact integer by 2^64, which rounds once, as this conversion does.
        let unit = head as f64 / 18_446_744_073_709_551_616.0;
        Self { seed, difficulty: 0.3 + 0.6 * unit }
    }
}

impl Problem {
    /// Returns the canonical problem of group `index`.
    pub fn canonical(hotkey: &str, block_hash: &str, index: u32) -> Self {
        Self::generate(ProblemSeed::canonical(hotkey, block_hash, index))
    }

    /// Returns the problem of this seed and difficulty; difficulty must be in 0..=10.
    pub fn generate(origin: ProblemSeed) -> Self {
        debug_assert!((0.0..=10.0).contains(&origin.difficulty), "difficulty {}", origin.difficulty);
        let d = origin.difficulty;
        let mut random = PythonRandom::from_bytes(&Sha256::digest(&origin.seed));
        let num_vars = random.int(4 + (11.0 * d * 0.5) as i64, 4 + (11.0 * d) as i64) as usize;
        let clause_count = random.int(5 + (15.0 * d * 0.5) as i64, 5 + (15.0 * d) as i64);
        let clauses = (0..clause_count).map(|_| clause(&mut random, num_vars)).collect();
        Self { origin, num_vars, clauses }
    }

    /// Returns how many clauses hold under `assignment`; variables beyond its end are false.
    pub fn satisfied_clauses(&self, assignment: &[bool]) -> usize {
        self.clauses.iter().filter(|clause| clause.iter().any(|&literal| holds(literal, assignment))).count()
    }

    /// Returns whether `assignment` has one value per variable and every clause holds.
    pub fn is_solved_by(&self, assignment: &[bool]) -> bool {
        assignment.len() == self.num_vars && self.satisfied_clauses(assignment) == self.clauses.len()
    }
}

fn clause(random: &mut PythonRandom, num_vars: usize) -> Vec<i32> {
    let chosen = random.sample(num_vars, num_vars.min(3));
    chosen.into_iter().map(|i| (i + 1) as i32).map(|v| if random.random() < 0.5 { -v } else { v }).collect()
}

fn holds(literal: i32, assignment: &[bool]) -> bool {
    let value = assignment.get(literal.unsigned_abs() as usize - 1).copied().unwrap_or(false);
    value == (literal > 0)
}
