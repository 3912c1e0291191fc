//! Flips bits in weights and activations while a group is made. Every flip that changes a sketch must be caught before
//! the group is signed.

use grail_protocol::generation::{GeneratedRollout, StreamKey};

use super::CpuEngine;
use super::memory_check::flips;
use crate::error::EngineError;

/// Flips of each kind, unless the environment asks for more.
const FLIPS: usize = 24;
const FLIPS_VARIABLE: &str = "GRAIL_TEST_FLIPS";
const RANDOMNESS: &str = "5f2c9d0e8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d";
const PROMPT: [u32; 12] = [1, 50, 61, 72, 83, 94, 105, 116, 127, 138, 149, 160];
const NEW_TOKENS: usize = 24;

fn streams() -> Vec<StreamKey> {
    (0..4).map(|rollout| StreamKey { seed: 9, window_start: 300, group: 0, rollout, attempt: 0 }).collect()
}

fn group(engine: &CpuEngine) -> Result<Vec<GeneratedRollout>, EngineError> {
    engine.generate_group(&PROMPT, &streams(), RANDOMNESS, NEW_TOKENS)
}

/// Returns a number below `limit` that follows from the others; a splitmix generator.
fn draw(number: usize, what: u64, limit: usize) -> usize {
    let mut bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what.wrapping_mul(0xd1b5_4a32_d192_ed03);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ bits >> 31) % limit as u64) as usize
}

#[derive(Debug, Default, PartialEq)]
struct Outcomes {
    /// Refused before signing.
    caught: usize,
    /// Returned with the sketches of an undamaged machine.
    without_effect: usize,
    /// Returned with other sketches.
    escaped: usize,
}

impl Outcomes {
    fn add(&mut self, clean: &CpuEngine, made: Result<Vec<GeneratedRollout>, EngineError>) {
        let Ok(rollouts) = made else {
            self.caught += 1;
            return;
        };
        let is_right = |rollout: &GeneratedRollout| {
            clean.proof_pass(&rollout.tokens, RANDOMNESS).unwrap().s_vals == rollout.pass.s_vals
        };
        if rollouts.iter().all(is_right) { self.without_effect += 1 } else { self.escaped += 1 }
    }
}

#[allow(clippy::disallowed_methods, reason = "the length of the test comes from the environment")]
fn count() -> usize {
    std::env::var(FLIPS_VARIABLE).map_or(FLIPS, |count| count.parse().expect("a number of flips"))
}

/// Flips a bit of a weight; the second time flips it back.
fn flip_weight(engine: &mut CpuEngine, number: usize) {
    let mut matrices = engine.network.matrices_mut();
    let matrix = draw(number, 1, matrices.len());
    let at = draw(number, 2, matrices[matrix].len());
    let value = &mut matrices[matrix][at];
    *value = f32::from_bits(value.to_bits() ^ 1 << draw(number, 3, 32));
}

#[test]
fn a_flipped_bit_in_the_weights_is_caught() {
    let clean = CpuEngine::toy().unwrap();
    let mut engine = CpuEngine::toy().unwrap();
    let mut outcomes = Outcomes::default();
    for number in 0..count() {
        flip_weight(&mut engine, number);
        let made = group(&engine);
        flip_weight(&mut engine, number);
        outcomes.add(&clean, made);
    }
    println!("weights: {outcomes:?}");
    assert_eq!(outcomes, Outcomes { caught: count(), ..Outcomes::default() });
    assert_eq!(group(&engine).unwrap(), group(&clean).unwrap(), "flipped back, nothing is refused");
}

#[test]
fn a_flipped_bit_in_the_activations_is_caught_where_it_matters() {
    let engine = CpuEngine::toy().unwrap();
    flips::plan(None);
    let honest = group(&engine).unwrap();
    let buffers = flips::passed();
    assert!(buffers > 100, "{buffers} buffers");
    let mut outcomes = Outcomes::default();
    for number in 0..count() {
        flips::plan(Some((draw(number, 4, buffers), draw(number, 5, 1 << 20), draw(number, 6, 32) as u32)));
        let made = group(&engine);
        flips::plan(None);
        outcomes.add(&engine, made);
    }
    println!("activations: {outcomes:?}");
    assert_eq!(outcomes.escaped, 0);
    assert!(outcomes.caught > 0, "{outcomes:?}");
    assert_eq!(group(&engine).unwrap(), honest);
}
