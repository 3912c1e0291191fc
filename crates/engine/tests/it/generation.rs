//! Sampling and proving with the toy model on prompts of real rollouts.

use std::collections::BTreeSet;

use grail_protocol::generation::{GeneratedRollout, Tokenizer};

use crate::fixtures::{ENGINE, NEW_TOKENS_MAX, RANDOMNESS, golden_rollouts, json, prompts, sha256_of_tokens, streams};

#[test]
fn groups_are_complete_and_line_up() {
    let eos = ENGINE.limits().eos_token;
    for (index, prompt) in (0..).zip(prompts()) {
        let rollouts = ENGINE.generate_group(&prompt, &streams(index), RANDOMNESS, NEW_TOKENS_MAX).unwrap();
        assert_eq!(rollouts.len(), 4);
        for rollout in &rollouts {
            assert!(rollout.tokens.starts_with(&prompt));
            assert_eq!(rollout.prompt_length, prompt.len());
            let completion = &rollout.tokens[prompt.len()..];
            assert!(completion.len() < NEW_TOKENS_MAX);
            assert_eq!(completion.iter().position(|&token| token == eos), Some(completion.len() - 1));
            let text = ENGINE.tokenizer().decode(completion, true);
            assert!(text.contains("<SOLUTION>") && text.ends_with("</SOLUTION>"), "{text}");
            check_numbers(rollout);
        }
        let distinct: BTreeSet<_> = rollouts.iter().map(|rollout| &rollout.tokens).collect();
        assert!(distinct.len() > 1, "the rollouts of group {index} are all alike");
    }
}

fn check_numbers(rollout: &GeneratedRollout) {
    let GeneratedRollout { tokens, prompt_length, token_logprobs, pass } = rollout;
    assert_eq!((token_logprobs.len(), pass.s_vals.len()), (tokens.len(), tokens.len()));
    assert_eq!(pass.probabilities.len(), tokens.len() - 1);
    assert!(token_logprobs[..*prompt_length].iter().all(|&logprob| logprob == 0.0));
    assert!(token_logprobs[*prompt_length..].iter().all(|&logprob| logprob.is_finite() && logprob <= 0.0));
    assert!(pass.probabilities.iter().all(|&p| p > 0.0 && p <= 1.0));
    assert_eq!(Some(&pass.eos_probability), pass.probabilities.last());
    assert!(pass.eos_probability >= 0.1);
}

#[test]
fn probabilities_are_those_of_the_references_validator() {
    let verdicts = json("golden/verdicts.json");
    let rollouts = golden_rollouts(&verdicts);
    for rollout in &rollouts {
        let theirs = &verdicts["recompute"][format!("{}:{RANDOMNESS}", sha256_of_tokens(&rollout.tokens))];
        let ours = ENGINE.proof_pass(&rollout.tokens, RANDOMNESS).unwrap();
        let expected: Vec<f64> = serde_json::from_value(theirs["probs"].clone()).unwrap();
        assert_eq!(ours.probabilities.len(), expected.len());
        for (position, (ours, theirs)) in ours.probabilities.iter().zip(expected).enumerate() {
            assert!((ours / theirs - 1.0).abs() < 1e-3, "position {position}: {ours} {theirs}");
        }
        assert!((ours.eos_probability - theirs["eos_prob"].as_f64().unwrap()).abs() < 1e-5);
    }
}

#[test]
fn a_rollout_ends_after_the_tokens_that_were_asked_for() {
    let prompt = &prompts()[0];
    for new_tokens_max in [0, 1, 5] {
        let rollouts = ENGINE.generate_tokens(prompt, &streams(0), new_tokens_max).unwrap();
        assert!(rollouts.iter().all(|rollout| rollout.tokens.len() == prompt.len() + new_tokens_max));
    }
    assert!(ENGINE.generate_tokens(prompt, &[], 5).unwrap().is_empty());
}

#[test]
fn a_sequence_of_one_token_has_a_sketch_and_no_probability() {
    let pass = ENGINE.proof_pass(&[511], RANDOMNESS).unwrap();
    assert_eq!((pass.s_vals.len(), pass.probabilities.len(), pass.eos_probability), (1, 0, 0.0));
}
