//! The same inputs give the same bits: over threads, over batches, over ways to cut a sequence, over machines.

use grail_engine::cpu::{KeyValueCache, Qwen3, Sequence};
use grail_engine::synthetic::{SyntheticModel, tiny};
use grail_protocol::generation::{GeneratedRollout, ProofModel};
use sha2::{Digest, Sha256};

use crate::fixtures::{ENGINE, NEW_TOKENS_MAX, RANDOMNESS, prompts, streams};

/// SHA-256 over one group's tokens, sketches and floats: the same in every build profile and on every machine.
const GROUP_DIGEST: &str = "adaa16f669b240adda0853c8073384a4a32acb84dadfd67a5ee217d129e63f91";

fn group() -> Vec<GeneratedRollout> {
    ENGINE.generate_group(&prompts()[1], &streams(1), RANDOMNESS, NEW_TOKENS_MAX).unwrap()
}

fn digest(rollouts: &[GeneratedRollout]) -> String {
    let mut hash = Sha256::new();
    for GeneratedRollout { tokens, token_logprobs, pass, .. } in rollouts {
        tokens.iter().chain(&pass.s_vals).for_each(|value| hash.update(value.to_be_bytes()));
        let floats = token_logprobs.iter().chain(&pass.probabilities).chain([&pass.eos_probability]);
        floats.for_each(|value| hash.update(value.to_bits().to_be_bytes()));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn any_number_of_threads_gives_the_recorded_bits() {
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(digest(&pool.install(group)), GROUP_DIGEST, "{threads} threads");
    }
}

#[test]
fn a_rollout_does_not_depend_on_those_beside_it() {
    let (prompt, streams) = (&prompts()[0], streams(0));
    let together = ENGINE.generate_tokens(prompt, &streams, NEW_TOKENS_MAX).unwrap();
    for (stream, expected) in streams.iter().zip(&together) {
        let alone = ENGINE.generate_tokens(prompt, std::slice::from_ref(stream), NEW_TOKENS_MAX).unwrap();
        assert_eq!(&alone, std::slice::from_ref(expected));
    }
    let others: Vec<_> = [2, 2, 0, 3, 1, 0, 2].map(|index: usize| streams[index].clone()).into();
    let shuffled = ENGINE.generate_tokens(prompt, &others, NEW_TOKENS_MAX).unwrap();
    for (rollout, index) in shuffled.iter().zip([2, 2, 0, 3, 1, 0, 2]) {
        assert_eq!(rollout, &together[index]);
    }
}

#[test]
fn another_attempt_draws_anew() {
    let [mut first, mut second] = [streams(0), streams(0)];
    second.iter_mut().for_each(|stream| stream.attempt = 1);
    first.append(&mut second);
    let rollouts = ENGINE.generate_tokens(&prompts()[0], &first, NEW_TOKENS_MAX).unwrap();
    assert_ne!(rollouts[0].tokens, rollouts[4].tokens);
}

#[test]
fn sequences_that_begin_alike_are_computed_together_and_each_has_the_bits_that_it_has_alone() {
    let rollouts = group();
    let first = rollouts[0].tokens.as_slice();
    let longer = [first, &[3, 4]].concat();
    let another = [&prompts()[0][..], &[1, 2]].concat();
    let refused = [&first[..first.len() - 1], &[512]].concat();
    let sequences = [first, &rollouts[1].tokens, &another, &refused, &longer, first, &rollouts[3].tokens];
    let passes = ENGINE.passes(&sequences, RANDOMNESS).unwrap();
    assert_eq!(passes.len(), sequences.len());
    for (place, (tokens, pass)) in sequences.iter().zip(&passes).enumerate() {
        let expected = (!matches!(place, 2 | 3)).then(|| ENGINE.proof_pass(tokens, RANDOMNESS).unwrap());
        assert_eq!(*pass, expected, "the sequence at {place}");
    }
    for made in &rollouts {
        assert_eq!(made.pass, ENGINE.proof_pass(&made.tokens, RANDOMNESS).unwrap(), "a group shares its prompt");
    }
    // The first one's own error, and nothing else, is an error of all.
    assert!(ENGINE.passes(&[&refused, first], RANDOMNESS).is_err());
    assert_eq!(ENGINE.passes(&[], RANDOMNESS), Ok(Vec::new()));
}

/// Hidden states of `tokens`, the first `prefix` of them as a shared prefix and the rest `step` at a time.
fn in_pieces(network: &Qwen3, tokens: &[u32], prefix: usize, step: usize) -> Vec<f32> {
    let config = network.config();
    let mut shared = Sequence { prefix: None, own: KeyValueCache::new(config, prefix) };
    let mut hidden = network.forward(&tokens[..prefix], &mut [&mut shared]);
    let own = KeyValueCache::new(config, tokens.len() - prefix);
    let mut sequence = Sequence { prefix: Some(&shared.own), own };
    for piece in tokens[prefix..].chunks(step) {
        hidden.extend(network.forward(piece, &mut [&mut sequence]));
    }
    hidden
}

#[test]
fn decoding_gives_the_bits_of_one_whole_pass() {
    let tiny = Qwen3::load(tiny(), &mut SyntheticModel { config: tiny(), seed: 1 }).unwrap();
    for network in [&tiny, ENGINE.network()] {
        let tokens: Vec<u32> = (0..90).map(|i| i * 31 % 333).collect();
        let whole = in_pieces(network, &tokens, 90, 1);
        assert!(whole.iter().all(|x| x.is_finite()));
        for (prefix, step) in [(1, 1), (16, 1), (37, 1), (37, 5), (60, 30), (89, 1)] {
            assert_eq!(in_pieces(network, &tokens, prefix, step), whole, "{prefix} then {step} at a time");
        }
    }
}
