//! A rollout as in a window file, and the assembly of a group from generated rollouts.

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, advantages};
use crate::constants::PROTOCOL;
use crate::generation::{GeneratedRollout, Tokenizer};
use crate::hexadecimal::{HexError, randomness_bytes};
use crate::problem::Problem;
use crate::python_json::Value;
use crate::randomness::{RandomnessError, open};
use crate::signature::{Hotkey, binding_of};

/// Values that all rollouts of a hotkey's window share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowContext {
    /// The miner's key.
    pub hotkey: Hotkey,
    /// First block of the window.
    pub window_start: u64,
    /// Hash of that block as the chain's text: `0x` and 64 lower-case hex digits.
    pub block_hash: String,
    /// The window's randomness, as [`crate::randomness::window_randomness`] gives it.
    pub randomness: String,
    /// Whether a beacon entered the randomness.
    pub use_drand: bool,
}

/// When and where a group was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupOrigin {
    /// Index of the group: its position in the file.
    pub group: u32,
    /// The chain's head when the group was made.
    pub block: u64,
    /// Wall clock in seconds since 1970.
    pub timestamp: f64,
}

/// One rollout, field for field as the file holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own; PROTOCOL 9 of the reference defines each")]
pub struct Rollout {
    pub window_start: u64,
    pub block: u64,
    pub nonce: u64,
    pub sat_seed: String,
    pub difficulty: f64,
    pub block_hash: String,
    pub randomness: String,
    pub use_drand: bool,
    pub rollout_group: u32,
    pub rollout_index: u32,
    pub total_in_group: u32,
    pub commit: Commit,
    pub proof: Proof,
    pub timestamp: f64,
    pub challenge: String,
    pub hotkey: String,
    pub signature: String,
}

/// Content that the hotkey commits to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct Commit {
    pub tokens: Vec<u32>,
    pub s_vals: Vec<u32>,
    pub model: ModelReference,
    pub signature: String,
    pub beacon: Beacon,
    pub sat_problem: SatProblem,
    pub rollout: RolloutMeta,
}

/// The model and layer that the sketch is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct ModelReference {
    pub name: String,
    pub layer_index: i32,
}

/// The randomness that the sketch projects with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct Beacon {
    pub randomness: String,
}

/// The canonical problem as the commit repeats it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct SatProblem {
    pub seed: String,
    pub num_vars: usize,
    pub clauses: Vec<Vec<i32>>,
    pub difficulty: f64,
}

/// The miner's claims about its completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct RolloutMeta {
    pub trajectory: Vec<(u32, Vec<bool>, f64)>,
    pub total_reward: f64,
    pub advantage: f64,
    pub success: bool,
    pub token_logprobs: Vec<f64>,
    pub prompt_length: usize,
    pub completion_length: usize,
    pub satisfied_clauses: usize,
    pub assignment: Vec<bool>,
}

/// The positions that the miner opens with its own randomness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct Proof {
    #[serde(rename = "round_R1")]
    pub round_r1: BeaconRound,
    pub indices: Vec<usize>,
}

/// The round that the proof names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the wire's own")]
pub struct BeaconRound {
    pub round: u32,
    pub randomness: String,
}

impl Rollout {
    /// Returns the rollout as a validator reads it from the file.
    pub fn to_value(&self) -> Value {
        object([
            ("window_start", self.window_start.into()),
            ("block", self.block.into()),
            ("nonce", self.nonce.into()),
            ("sat_seed", self.sat_seed.as_str().into()),
            ("difficulty", number(self.difficulty)),
            ("block_hash", self.block_hash.as_str().into()),
            ("randomness", self.randomness.as_str().into()),
            ("use_drand", self.use_drand.into()),
            ("rollout_group", self.rollout_group.into()),
            ("rollout_index", self.rollout_index.into()),
            ("total_in_group", self.total_in_group.into()),
            ("commit", self.commit.to_value()),
            ("proof", self.proof.to_value()),
            ("timestamp", number(self.timestamp)),
            ("challenge", self.challenge.as_str().into()),
            ("hotkey", self.hotkey.as_str().into()),
            ("signature", self.signature.as_str().into()),
        ])
    }
}

impl Commit {
    fn to_value(&self) -> Value {
        let problem = &self.sat_problem;
        let clauses: Vec<Value> = problem.clauses.iter().map(|clause| list(clause)).collect();
        object([
            ("tokens", list(&self.tokens)),
            ("s_vals", list(&self.s_vals)),
            (
                "model",
                object([("name", self.model.name.as_str().into()), ("layer_index", self.model.layer_index.into())]),
            ),
            ("signature", self.signature.as_str().into()),
            ("beacon", object([("randomness", self.beacon.randomness.as_str().into())])),
            (
                "sat_problem",
                object([
                    ("seed", problem.seed.as_str().into()),
                    ("num_vars", problem.num_vars.into()),
                    ("clauses", clauses.into()),
                    ("difficulty", number(problem.difficulty)),
                ]),
            ),
            ("rollout", self.rollout.to_value()),
        ])
    }
}

impl RolloutMeta {
    fn to_value(&self) -> Value {
        let trajectory = self
            .trajectory
            .iter()
            .map(|(step, assignment, reward)| vec![(*step).into(), list(assignment), number(*reward)].into())
            .collect::<Vec<Value>>();
        object([
            ("trajectory", trajectory.into()),
            ("total_reward", number(self.total_reward)),
            ("advantage", number(self.advantage)),
            ("success", self.success.into()),
            ("token_logprobs", self.token_logprobs.iter().map(|&p| number(p)).collect::<Vec<Value>>().into()),
            ("prompt_length", self.prompt_length.into()),
            ("completion_length", self.completion_length.into()),
            ("satisfied_clauses", self.satisfied_clauses.into()),
            ("assignment", list(&self.assignment)),
        ])
    }
}

impl Proof {
    fn to_value(&self) -> Value {
        let round = [("round", self.round_r1.round.into()), ("randomness", self.round_r1.randomness.as_str().into())];
        object([("round_R1", object(round)), ("indices", list(&self.indices))])
    }
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// JSON has no NaN and no infinities, so they would be null in the file.
fn number(value: f64) -> Value {
    if value.is_finite() { value.into() } else { Value::Null }
}

fn list<T: Copy + Into<Value>>(items: &[T]) -> Value {
    Value::List(items.iter().map(|&item| item.into()).collect())
}

/// Why a group could not be assembled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// Not four rollouts.
    #[error("a group needs {expected} rollouts and has {found}; generate the missing ones under the same index")]
    Count {
        /// Rollouts of a group.
        expected: usize,
        /// Rollouts given.
        found: usize,
    },
    /// Tokens, sketch and probabilities do not belong together.
    #[error(
        "rollout {rollout}: {tokens} tokens, {s_vals} sketch values and {logprobs} logprobs do not match; \
             generate it again"
    )]
    Lengths {
        /// Index in the group.
        rollout: usize,
        /// Number of tokens.
        tokens: usize,
        /// Number of sketch values.
        s_vals: usize,
        /// Number of log probabilities.
        logprobs: usize,
    },
    /// A log probability is NaN or infinite, which JSON cannot carry.
    #[error("rollout {rollout}: the log probability at position {position} is not finite; generate it again")]
    NotFinite {
        /// Index in the group.
        rollout: usize,
        /// Position of the token.
        position: usize,
    },
    /// The window's randomness is not hexadecimal.
    #[error("the window's randomness is malformed: {0}")]
    Randomness(#[from] HexError),
    /// The proof's positions could not be drawn.
    #[error("no positions to open: {0}")]
    Open(#[from] RandomnessError),
}

/// Returns the seed that a rollout names by its nonce: `hotkey-blockhash-nonce`.
pub fn sat_seed(hotkey: &str, block_hash: &str, nonce: impl std::fmt::Display) -> String {
    format!("{hotkey}-{block_hash}-{nonce}")
}

/// Returns the nonce of a rollout: group · 10 + index in the group.
pub const fn nonce(group: u32, rollout: u32) -> u64 {
    group as u64 * 10 + rollout as u64
}

/// Assembles and signs the rollouts of one group.
///
/// `sign` returns the hotkey's signature of bytes.
///
/// # Errors
/// [`AssembleError`] if the group is not whole or a value cannot be in the file.
pub fn assemble_group(
    window: &WindowContext,
    origin: GroupOrigin,
    generated: &[GeneratedRollout],
    tokenizer: &dyn Tokenizer,
    sign: &dyn Fn(&[u8]) -> [u8; 64],
) -> Result<Vec<Rollout>, AssembleError> {
    if generated.len() != PROTOCOL.rollouts_per_group {
        return Err(AssembleError::Count { expected: PROTOCOL.rollouts_per_group, found: generated.len() });
    }
    generated.iter().enumerate().try_for_each(|(i, rollout)| check_shape(i, rollout))?;
    let problem = Problem::canonical(&window.hotkey.to_ss58(), &window.block_hash, origin.group);
    let answers: Vec<Answer> = generated
        .iter()
        .map(|g| Answer::parse(&tokenizer.decode(&g.tokens[g.prompt_length..], true), problem.num_vars))
        .collect();
    let rewards: Vec<f64> = answers.iter().map(|answer| answer.reward(&problem).total).collect();
    let advantages = advantages(&rewards);
    let randomness = randomness_bytes(&window.randomness)?;
    generated
        .iter()
        .zip(answers)
        .zip(advantages)
        .enumerate()
        .map(|(i, ((g, answer), advantage))| {
            let signature = hex::encode(sign(&binding_of(&g.tokens, &g.pass.s_vals, &randomness)));
            let rollout = meta(&problem, g, answer, advantage);
            let commit = commit(window, &problem, g, signature, rollout);
            let indices = open(&g.tokens, &window.randomness, PROTOCOL.challenge_positions)?;
            Ok(rollout_of(window, origin, i as u32, commit, indices, sign))
        })
        .collect()
}

fn check_shape(rollout: usize, g: &GeneratedRollout) -> Result<(), AssembleError> {
    let (tokens, s_vals, logprobs) = (g.tokens.len(), g.pass.s_vals.len(), g.token_logprobs.len());
    if tokens != s_vals || tokens != logprobs || g.prompt_length > tokens {
        return Err(AssembleError::Lengths { rollout, tokens, s_vals, logprobs });
    }
    match g.token_logprobs.iter().position(|p| !p.is_finite()) {
        Some(position) => Err(AssembleError::NotFinite { rollout, position }),
        None => Ok(()),
    }
}

fn rollout_of(
    window: &WindowContext,
    origin: GroupOrigin,
    index: u32,
    commit: Commit,
    indices: Vec<usize>,
    sign: &dyn Fn(&[u8]) -> [u8; 64],
) -> Rollout {
    let hotkey = window.hotkey.to_ss58();
    let nonce = nonce(origin.group, index);
    let sat_seed = sat_seed(&hotkey, &window.block_hash, nonce);
    let challenge = format!("{sat_seed}{}{nonce}", window.block_hash);
    Rollout {
        window_start: window.window_start,
        block: origin.block,
        nonce,
        sat_seed,
        difficulty: commit.sat_problem.difficulty,
        block_hash: window.block_hash.clone(),
        randomness: window.randomness.clone(),
        use_drand: window.use_drand,
        rollout_group: origin.group,
        rollout_index: index,
        total_in_group: PROTOCOL.rollouts_per_group as u32,
        commit,
        proof: Proof { round_r1: BeaconRound { round: 2, randomness: window.randomness.clone() }, indices },
        timestamp: origin.timestamp,
        signature: hex::encode(sign(challenge.as_bytes())),
        challenge,
        hotkey,
    }
}

fn commit(
    window: &WindowContext,
    problem: &Problem,
    generated: &GeneratedRollout,
    signature: String,
    rollout: RolloutMeta,
) -> Commit {
    Commit {
        tokens: generated.tokens.clone(),
        s_vals: generated.pass.s_vals.clone(),
        model: ModelReference { name: PROTOCOL.model_name.to_owned(), layer_index: PROTOCOL.layer_index },
        signature,
        beacon: Beacon { randomness: window.randomness.clone() },
        sat_problem: SatProblem {
            seed: problem.origin.seed.clone(),
            num_vars: problem.num_vars,
            clauses: problem.clauses.clone(),
            difficulty: problem.origin.difficulty,
        },
        rollout,
    }
}

fn meta(problem: &Problem, generated: &GeneratedRollout, answer: Answer, advantage: f64) -> RolloutMeta {
    let reward = answer.reward(problem);
    RolloutMeta {
        trajectory: vec![(0, answer.assignment.clone(), reward.total)],
        total_reward: reward.total,
        advantage,
        success: reward.success,
        token_logprobs: generated.token_logprobs.clone(),
        prompt_length: generated.prompt_length,
        completion_length: generated.tokens.len() - generated.prompt_length,
        satisfied_clauses: answer.satisfied_clauses(problem),
        assignment: answer.assignment,
    }
}
