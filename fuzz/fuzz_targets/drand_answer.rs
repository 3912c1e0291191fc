//! A relay's answer: it is refused, or it is the real round.
#![no_main]

use std::sync::LazyLock;

use grail_live::beacon::{DrandNetwork, read_answer};
use libfuzzer_sys::fuzz_target;

const ROUND: u64 = 123;
/// The hash of round 123's signature, as the network gave it.
const RANDOMNESS: &str = include_str!("../seeds/drand_round_123.txt");
static QUICKNET: LazyLock<DrandNetwork> = LazyLock::new(DrandNetwork::quicknet);

fuzz_target!(|data: &[u8]| {
    if let Ok(round) = read_answer(&QUICKNET, ROUND, data) {
        assert_eq!((round.round, round.randomness.as_str()), (ROUND, RANDOMNESS.trim()));
    }
});
