//! A generator without a network: plausible answers by seed, sketches and probabilities by formula.
//!
//! A validator computes the same formula from the tokens, so an altered token or another projection shows as it would
//! with a network. No floating-point function beyond IEEE arithmetic is used, so all machines agree.

use std::collections::BTreeMap;

use grail_miner::ports::{EngineError, GenerateRequest};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::{
    GeneratedRollout, ModelLimits, ProofModel, ProofPass, RecomputeError, StreamKey, Tokenizer,
};
use sha2::{Digest, Sha256};

use crate::engine::Generator;
use crate::stream::{Stream, mix};

/// One token per byte, one per frequent piece, and the end of turn.
pub struct SyntheticModel {
    tokenizer: PieceTokenizer,
    /// Sequences per thousand that end with an improbable EOS, which is legal to sample and which a validator rejects.
    improbable_eos_permille: u64,
}

const IMPROBABLE_EOS_PERMILLE: u64 = 10;
/// Of this many answers, one is a guess.
const GUESS_ONE_IN: u64 = 8;
/// Words before an answer, drawn again for each attempt.
const WORDS: usize = 8;
/// A logarithm of each probability would depend on the machine's library; no check looks at the value.
const TOKEN_LOGPROB: f64 = -0.25;

impl Default for SyntheticModel {
    fn default() -> Self {
        Self::rejected(IMPROBABLE_EOS_PERMILLE)
    }
}

impl SyntheticModel {
    /// Creates a model with this many sequences per thousand that a validator rejects for an improbable last token.
    pub fn rejected(permille: u64) -> Self {
        Self { tokenizer: PieceTokenizer::new(), improbable_eos_permille: permille }
    }

    fn completion(&self, prompt: &str, key: &StreamKey) -> String {
        let scope = format!("{}/{}/{}/{}", key.window_start, key.group, key.rollout, key.attempt);
        let mut stream = Stream::new(key.seed, "synthetic/answer", scope);
        let clauses = clauses_of(prompt);
        let variables = variables_of(prompt);
        let guess: Vec<bool> = (0..variables).map(|_| stream.one_in(2)).collect();
        let assignment = if stream.one_in(GUESS_ONE_IN) { guess } else { improved(guess, &clauses, &mut stream) };
        let mut text = String::from("\n");
        // Otherwise two attempts at a problem with one solution would give the same text and the same rejection.
        for _ in 0..WORDS {
            text.push_str([" the ", "and ", "solution"][stream.below(3) as usize]);
        }
        // Every literal with its value: long enough for the soft check even of the smallest problem.
        for clause in &clauses {
            let values = clause.iter().map(|literal| {
                let variable = literal.unsigned_abs();
                format!("x{variable}={}", u8::from(assignment[variable as usize - 1]))
            });
            text.push_str(&values.collect::<Vec<_>>().join(" "));
            text.push('\n');
        }
        let bits: Vec<&str> = assignment.iter().map(|bit| if *bit { "1" } else { "0" }).collect();
        text.push_str(&format!("<end_working_out>\n<SOLUTION>{}</SOLUTION><|im_end|>", bits.join(" ")));
        text
    }

    fn compute(&self, tokens: &[u32], randomness: &str) -> ProofPass {
        let head: [u8; 32] = Sha256::digest(randomness).into();
        let projection = u64::from_le_bytes(*head.first_chunk().expect("a digest is longer"));
        let mut hidden = 0;
        let mut pass = ProofPass::default();
        for (position, &token) in tokens.iter().enumerate() {
            if position > 0 {
                pass.probabilities.push(probability(mix(hidden ^ u64::from(token) << 32)));
            }
            if position + 1 == tokens.len() {
                let improbable = mix(hidden ^ 0xe05) % 1_000 < self.improbable_eos_permille;
                pass.eos_probability = if improbable { 0.01 } else { 0.9 };
            }
            hidden = mix(hidden.rotate_left(7) ^ u64::from(token));
            pass.s_vals.push((mix(hidden ^ projection) % u64::from(PROTOCOL.modulus)) as u32);
        }
        pass
    }
}

impl Generator for SyntheticModel {
    fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        let prompt_text = self.tokenizer.decode(&request.prompt, false);
        let rollout = |key: &StreamKey| {
            let mut completion = self.tokenizer.encode(&self.completion(&prompt_text, key));
            completion.truncate(request.new_tokens_max);
            let tokens = [&request.prompt[..], &completion].concat();
            let mut token_logprobs = vec![0.0; request.prompt.len()];
            token_logprobs.resize(tokens.len(), TOKEN_LOGPROB);
            let pass = self.compute(&tokens, &request.randomness);
            GeneratedRollout { tokens, prompt_length: request.prompt.len(), token_logprobs, pass }
        };
        Ok(request.streams.iter().map(rollout).collect())
    }
}

impl ProofModel for SyntheticModel {
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        Ok(self.compute(tokens, randomness))
    }

    fn limits(&self) -> ModelLimits {
        let vocabulary = self.tokenizer.pieces.len() as u32;
        ModelLimits { vocabulary, context_tokens_max: 4096, eos_token: self.tokenizer.eos }
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        &self.tokenizer
    }
}

/// Between 0.4 and 1, in steps of 2⁻¹⁶.
fn probability(bits: u64) -> f64 {
    1.0 - 0.6 * ((bits >> 48) as f64 / 65_536.0)
}

/// The longest piece wins; other text is one token per byte.
struct PieceTokenizer {
    pieces: Vec<Vec<u8>>,
    by_head: BTreeMap<u8, Vec<u32>>,
    eos: u32,
}

impl PieceTokenizer {
    fn new() -> Self {
        let words =
            ["<|im_end|>", " OR ", "NOT ", "  (", ")\n", "SAT Problem", "Variables: ", "Clauses:\n", "</SOLUTION>"];
        let long =
            ["<SOLUTION>", "<start_working_out>", "<end_working_out>", "=0\n", "=1\n", " the ", "and ", "solution"];
        let variables = (1..=15).map(|v| format!("x{v}"));
        let bytes = (0..=255u8).map(|byte| vec![byte]);
        let texts = words.iter().chain(&long).map(|text| (*text).to_owned()).chain(variables);
        let pieces: Vec<Vec<u8>> = bytes.chain(texts.map(String::into_bytes)).collect();
        let mut by_head: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for (id, piece) in pieces.iter().enumerate() {
            by_head.entry(piece[0]).or_default().push(id as u32);
        }
        for ids in by_head.values_mut() {
            ids.sort_by_key(|id| std::cmp::Reverse(pieces[*id as usize].len()));
        }
        Self { pieces, by_head, eos: 256 }
    }
}

impl Tokenizer for PieceTokenizer {
    fn encode(&self, text: &str) -> Vec<u32> {
        let mut rest = text.as_bytes();
        let mut tokens = Vec::with_capacity(rest.len() / 2);
        while let Some(head) = rest.first() {
            let fits = |id: &&u32| rest.starts_with(&self.pieces[**id as usize]);
            let id = *self.by_head[head].iter().find(fits).expect("every byte is a piece");
            rest = &rest[self.pieces[id as usize].len()..];
            tokens.push(id);
        }
        tokens
    }

    fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> String {
        let shown = tokens.iter().filter(|token| !(skip_special_tokens && **token == self.eos));
        let bytes: Vec<u8> = shown.filter_map(|token| self.pieces.get(*token as usize)).flatten().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn variables_of(prompt: &str) -> usize {
    let count = prompt.split("Variables: ").nth(1).and_then(|rest| rest.lines().next());
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn clauses_of(prompt: &str) -> Vec<Vec<i32>> {
    let lines = prompt.lines().filter_map(|line| line.strip_prefix("  (")?.strip_suffix(')'));
    let literal = |text: &str| {
        let (sign, name) = text.strip_prefix("NOT ").map_or((1, text), |name| (-1, name));
        name.strip_prefix('x')?.parse::<i32>().ok().map(|variable| sign * variable)
    };
    lines.map(|line| line.split(" OR ").filter_map(literal).collect()).collect()
}

/// Returns a short random walk that flips a variable of a broken clause at a time.
fn improved(mut assignment: Vec<bool>, clauses: &[Vec<i32>], stream: &mut Stream) -> Vec<bool> {
    let holds = |literal: i32, bits: &[bool]| bits[literal.unsigned_abs() as usize - 1] == (literal > 0);
    for _ in 0..400 {
        let broken = clauses.iter().find(|clause| !clause.iter().any(|&literal| holds(literal, &assignment)));
        let Some(clause) = broken else { break };
        let literal = clause[stream.below(clause.len() as u64) as usize];
        let bit = &mut assignment[literal.unsigned_abs() as usize - 1];
        *bit = !*bit;
    }
    assignment
}

#[cfg(test)]
mod tests {
    use grail_protocol::problem::Problem;
    use grail_protocol::prompt::prompt;

    use super::*;

    fn request(group: u32) -> (Problem, GenerateRequest) {
        let model = SyntheticModel::default();
        let problem = Problem::canonical("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "0xab", group);
        let streams =
            (0..4).map(|rollout| StreamKey { seed: 3, window_start: 0, group, rollout, attempt: 0 }).collect();
        let prompt = model.tokenizer.encode(&prompt(&problem));
        (problem, GenerateRequest { prompt, streams, randomness: "ab".into(), new_tokens_max: 1024 })
    }

    #[test]
    fn most_answers_solve_and_some_do_not() {
        let model = SyntheticModel::default();
        let mut solved = 0;
        for group in 0..50 {
            let (problem, request) = request(group);
            for rollout in model.generate(&request).expect("the formula always answers") {
                let text = model.tokenizer.decode(&rollout.tokens[rollout.prompt_length..], true);
                let answer = grail_protocol::answer::Answer::parse(&text, problem.num_vars);
                assert!(answer.strict, "{text}");
                solved += usize::from(answer.reward(&problem).success);
            }
        }
        assert!((120..200).contains(&solved), "{solved} of 200");
    }

    #[test]
    fn text_survives_the_tokenizer() {
        let (problem, request) = request(1);
        let model = SyntheticModel::default();
        assert_eq!(model.tokenizer.decode(&request.prompt, false), prompt(&problem));
        assert_eq!(model.tokenizer.encode("<|im_end|>"), [model.tokenizer.eos]);
    }

    #[test]
    fn the_sketch_depends_on_every_token_before_and_on_the_projection() {
        let model = SyntheticModel::default();
        let tokens: Vec<u32> = (0..40).collect();
        let base = model.compute(&tokens, "ab").s_vals;
        let mut altered = tokens.clone();
        altered[20] = 7;
        let other = model.compute(&altered, "ab").s_vals;
        assert_eq!(base[..20], other[..20]);
        assert!(base[20..].iter().zip(&other[20..]).all(|(a, b)| a != b));
        assert!(base.iter().zip(model.compute(&tokens, "ac").s_vals).all(|(a, b)| *a != b));
    }
}
