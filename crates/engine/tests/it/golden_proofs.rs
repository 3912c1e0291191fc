//! The CPU network against hidden states that the reference stack computed on a GPU.

use serde::Deserialize;

use crate::fixtures::{ENGINE, json, sha256_of_tokens};

/// The fields of a golden proof that are read.
#[derive(Deserialize)]
struct Golden {
    token_lcg_seed: u64,
    length: usize,
    tokens_sha256: String,
    hidden_first8: Vec<f32>,
    hidden_last8: Vec<f32>,
    hidden_row_l2: Vec<f64>,
    last_token_logprob: f64,
    randomness: String,
    s_vals: Vec<u32>,
}

fn golden(name: &str) -> Golden {
    serde_json::from_value(json(&format!("golden-proofs/{name}"))).unwrap()
}

/// Returns the recorder's token generator: x = x·6364136223846793005 + 1442695040888963407; token = (x >> 33) mod
/// vocabulary.
fn lcg_tokens(seed: u64, length: usize, vocabulary: u64) -> Vec<u32> {
    let mut x = seed;
    let next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((x >> 33) % vocabulary) as u32
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn tokens_of(golden: &Golden, vocabulary: u64) -> Vec<u32> {
    let tokens = lcg_tokens(golden.token_lcg_seed, golden.length, vocabulary);
    assert_eq!(sha256_of_tokens(&tokens), golden.tokens_sha256);
    tokens
}

/// Largest difference, relative to the largest magnitude.
fn relative_difference(ours: &[f32], theirs: &[f32]) -> f32 {
    let largest = theirs.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

fn compare_hidden(golden: &Golden, hidden: &[f32], tolerance: f32) {
    let size = hidden.len() / golden.length;
    let last = &hidden[hidden.len() - 8..];
    let first = relative_difference(&hidden[..8], &golden.hidden_first8);
    let last = relative_difference(last, &golden.hidden_last8);
    assert!(first < tolerance && last < tolerance, "first row {first}, last row {last}");
    let step = (golden.length / 16).max(1);
    for (row, expected) in hidden.chunks(size).step_by(step).zip(&golden.hidden_row_l2) {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        assert!((norm / expected - 1.0).abs() < f64::from(tolerance), "norm {norm}, expected {expected}");
    }
}

#[test]
fn the_toy_model_computes_what_the_reference_computes() {
    for length in [64, 300, 600] {
        let golden = golden(&format!("toy-model-{length}.json"));
        let tokens = tokens_of(&golden, 512);
        compare_hidden(&golden, &ENGINE.hidden_states(&tokens).unwrap(), 1e-4);
        let pass = ENGINE.proof_pass(&tokens, &golden.randomness).unwrap();
        let logprob = pass.probabilities.last().unwrap().ln();
        assert!((logprob - golden.last_token_logprob).abs() < 1e-3, "{logprob} {}", golden.last_token_logprob);
        assert_eq!(pass.s_vals.len(), golden.s_vals.len());
    }
}
