//! A world small enough to sign in: one token per character, a formula for a model, two honest groups.

use std::sync::LazyLock;

use grail_protocol::PROTOCOL;
use grail_protocol::generation::{GeneratedRollout, ModelLimits, ProofPass, Tokenizer};
use grail_protocol::hexadecimal::randomness_bytes;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::hash_u32s;
use grail_protocol::rollout::{GroupOrigin, Rollout, WindowContext, assemble_group};
use grail_protocol::signature::{Keypair, commit_binding};
use grail_protocol::window_file::{WindowFile, unpack};
use grail_verify::{Recompute, RecomputeError, Report, Scope, WindowFacts, verify_value};

/// Token for the end of a turn.
pub(crate) const EOS: u32 = 3;
/// An EOS after this character is improbable.
pub(crate) const BEFORE_IMPROBABLE_EOS: char = '\u{4}';

/// Two groups of one window, with everything that a validator needs.
pub(crate) struct SignedWindow {
    pub(crate) facts: WindowFacts,
    pub(crate) tokenizer: Characters,
    pub(crate) rollouts: Vec<Rollout>,
    pub(crate) packed: Vec<u8>,
    keypair: Keypair,
    context: WindowContext,
}

impl SignedWindow {
    /// Returns the honest window; making it takes longer than most tests.
    pub(crate) fn shared() -> &'static Self {
        static WINDOW: LazyLock<SignedWindow> = LazyLock::new(SignedWindow::new);
        &WINDOW
    }

    fn new() -> Self {
        let keypair = Keypair::from_seed(&[1; 32]);
        let context = WindowContext {
            hotkey: keypair.hotkey(),
            window_start: 300,
            block_hash: format!("0x{}", "ab".repeat(32)),
            randomness: "cd".repeat(32),
            use_drand: true,
        };
        let facts = WindowFacts {
            hotkey: keypair.hotkey().to_ss58(),
            validator_hotkey: Keypair::from_seed(&[2; 32]).hotkey().to_ss58(),
            window_start: context.window_start,
            block_hash: context.block_hash.clone(),
            challenge_randomness: "ef".repeat(32),
            limits: ModelLimits { vocabulary: 0x11_0000, context_tokens_max: 4096, eos_token: EOS },
        };
        let (tokenizer, rollouts, packed) = (Characters, Vec::new(), Vec::new());
        let mut window = Self { facts, tokenizer, rollouts, packed, keypair, context };
        window.rollouts = (0..2).flat_map(|group| window.assemble(group, &window.generated(group))).collect();
        window.packed = window.pack(&window.rollouts);
        window
    }

    /// Returns an engine's output: three answers that solve the problem and one that does not.
    pub(crate) fn generated(&self, group: u32) -> Vec<GeneratedRollout> {
        let problem = Problem::canonical(&self.facts.hotkey, &self.facts.block_hash, group);
        let (solution, wrong) = (assignment(&problem, true), assignment(&problem, false));
        let answer = |bits: &Vec<bool>| {
            let bits: Vec<&str> = bits.iter().map(|bit| if *bit { "1" } else { "0" }).collect();
            format!("Let me try a few values, one after the other.\n<SOLUTION>{}</SOLUTION>", bits.join(" "))
        };
        let texts = [&solution, &solution, &wrong, &solution].map(answer);
        texts.iter().enumerate().map(|(i, text)| self.complete(group, &format!("{i}. {text}"))).collect()
    }

    /// Returns the rollout that completes a group's canonical prompt with this text and an EOS.
    pub(crate) fn complete(&self, group: u32, completion: &str) -> GeneratedRollout {
        let problem = Problem::canonical(&self.facts.hotkey, &self.facts.block_hash, group);
        let mut tokens = self.tokenizer.encode(&prompt(&problem));
        let prompt_length = tokens.len();
        tokens.extend(self.tokenizer.encode(completion));
        tokens.push(EOS);
        let mut token_logprobs = vec![0.0; prompt_length];
        token_logprobs.resize(tokens.len(), -0.5);
        let pass = self.pass(&tokens, &self.context.randomness);
        GeneratedRollout { prompt_length, token_logprobs, pass, tokens }
    }

    pub(crate) fn assemble(&self, group: u32, generated: &[GeneratedRollout]) -> Vec<Rollout> {
        let origin = GroupOrigin { group, block: 303, timestamp: 1_758_700_000.25 };
        let sign = |message: &[u8]| self.keypair.sign(message);
        assemble_group(&self.context, origin, generated, &self.tokenizer, &sign).unwrap()
    }

    /// Signs a rollout again in its present form, commit and challenge.
    pub(crate) fn sign(&self, rollout: &mut Rollout) {
        let commit = &mut rollout.commit;
        let binding = commit_binding(
            &hash_u32s(&commit.tokens),
            &randomness_bytes(&commit.beacon.randomness).unwrap(),
            &commit.model.name,
            commit.model.layer_index,
            &hash_u32s(&commit.s_vals),
        );
        commit.signature = hex::encode(self.keypair.sign(&binding));
        self.sign_challenge(rollout);
    }

    pub(crate) fn sign_challenge(&self, rollout: &mut Rollout) {
        rollout.signature = hex::encode(self.keypair.sign(rollout.challenge.as_bytes()));
    }

    /// Sketches a rollout's present tokens, and signs it.
    pub(crate) fn prove(&self, rollout: &mut Rollout) {
        rollout.commit.s_vals = self.pass(&rollout.commit.tokens, &rollout.commit.beacon.randomness).s_vals;
        self.sign(rollout);
    }

    pub(crate) fn document(&self, rollouts: &[Rollout]) -> Value {
        unpack(&self.pack(rollouts)).unwrap()
    }

    pub(crate) fn pack(&self, rollouts: &[Rollout]) -> Vec<u8> {
        let inferences = rollouts.iter().collect();
        WindowFile::new(&self.facts.hotkey, self.facts.window_start, inferences, 1_758_700_300.5).pack()
    }

    pub(crate) fn judge(&self, document: &Value, scope: Scope) -> Report {
        verify_value(document, &self.facts, &self.tokenizer, self, scope)
    }

    /// Returns the formula: each position's sketch hangs on all tokens up to it and on the randomness.
    pub(crate) fn pass(&self, tokens: &[u32], randomness: &str) -> ProofPass {
        let projection = randomness.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let mut hidden = 0u64;
        let s_vals = tokens.iter().map(|&token| {
            hidden = (hidden ^ u64::from(token)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            ((hidden ^ projection) % u64::from(PROTOCOL.modulus)) as u32
        });
        let s_vals = s_vals.collect();
        let improbable = tokens.iter().rev().nth(1) == Some(&u32::from(BEFORE_IMPROBABLE_EOS));
        // Enough spread that no statistic divides by zero, and nothing near a threshold.
        let probabilities = (1..tokens.len()).map(|i| 0.6 + 0.05 * (i % 7) as f64).collect();
        ProofPass { s_vals, probabilities, eos_probability: if improbable { 0.05 } else { 0.9 } }
    }
}

impl Recompute for SignedWindow {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        Ok(self.pass(tokens, randomness))
    }
}

/// One token per character.
pub(crate) struct Characters;

impl Tokenizer for Characters {
    fn encode(&self, text: &str) -> Vec<u32> {
        text.chars().map(u32::from).collect()
    }

    fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> String {
        let shown = tokens.iter().filter(|token| !(skip_special_tokens && **token == EOS));
        shown.filter_map(|token| char::from_u32(*token)).collect()
    }
}

/// Returns the first assignment that solves the problem, or the first that does not.
fn assignment(problem: &Problem, solves: bool) -> Vec<bool> {
    let mut assignments =
        (0u32..1 << problem.num_vars).map(|bits| (0..problem.num_vars).map(|i| bits >> i & 1 == 1).collect());
    assignments.find(|bits: &Vec<bool>| problem.is_solved_by(bits) == solves).expect("this problem has both")
}
