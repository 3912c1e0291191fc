//! Properties of what is drawn: random numbers as CPython gives them, opened positions, problems, nonces.

use std::collections::BTreeSet;

use grail_protocol::constants::window_start;
use grail_protocol::problem::{Problem, ProblemSeed};
use grail_protocol::prompt::{END_OF_TURN, REASONING_START, problem_text, prompt};
use grail_protocol::python_random::PythonRandom;
use grail_protocol::randomness::{RandomnessError, open, prf, r_vec};
use grail_protocol::rollout::{nonce, sat_seed};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn samples_are_distinct_and_in_range(seed in any::<u64>(), population in 1usize..3000, share in 0.0..=1.0) {
        let count = (population as f64 * share) as usize;
        let sample = PythonRandom::from_int(seed).sample(population, count);
        prop_assert_eq!(sample.len(), count);
        prop_assert!(sample.iter().all(|i| *i < population));
        prop_assert_eq!(sample.iter().collect::<BTreeSet<_>>().len(), count);
    }

    #[test]
    fn a_shuffle_is_a_permutation(seed in vec(any::<u8>(), 0..40), length in 0usize..300) {
        let mut items: Vec<usize> = (0..length).collect();
        PythonRandom::from_bytes(&seed).shuffle(&mut items);
        items.sort_unstable();
        prop_assert_eq!(items, (0..length).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_stay_in_their_range(seed in any::<u64>(), low in -1000i64..1000, span in 0i64..1000, bits in 1u32..=32) {
        let mut random = PythonRandom::from_int(seed);
        for _ in 0..20 {
            prop_assert!((low..=low + span).contains(&random.int(low, low + span)));
            prop_assert!((0.0..1.0).contains(&random.random()));
            prop_assert!(u64::from(random.bits(bits)) < 1 << bits);
        }
    }

    #[test]
    fn opened_positions_are_ascending_distinct_and_in_range(
        tokens in vec(any::<u32>(), 1..400),
        randomness in any::<[u8; 32]>(),
        share in 0.0..=1.0,
    ) {
        let positions = ((tokens.len() as f64 * share) as usize).max(1);
        let randomness = hex::encode(randomness);
        let opened = open(&tokens, &randomness, positions).unwrap();
        prop_assert_eq!(opened.len(), positions);
        prop_assert!(opened.is_sorted_by(|a, b| a < b));
        prop_assert!(opened.last().is_some_and(|last| *last < tokens.len()));
        prop_assert_eq!(&open(&tokens, &format!("0x{randomness}"), positions).unwrap(), &opened);
        let too_many = RandomnessError::Positions { positions: tokens.len() + 1, tokens: tokens.len() };
        prop_assert_eq!(open(&tokens, &randomness, tokens.len() + 1), Err(too_many));
    }

    #[test]
    fn shorter_output_is_a_prefix_of_longer(label in vec(any::<u8>(), 0..9), part in vec(any::<u8>(), 0..9), n in 0usize..200) {
        let long = prf(&label, &[&part], 200).unwrap();
        prop_assert_eq!(&prf(&label, &[&part], n).unwrap(), &long[..n]);
    }

    #[test]
    fn canonical_problems_are_well_formed(hotkey in "5[a-zA-Z0-9]{47}", hash in "0x[0-9a-f]{64}", index in any::<u32>()) {
        let problem = Problem::canonical(&hotkey, &hash, index);
        let difficulty = problem.origin.difficulty;
        prop_assert!((0.3..0.9).contains(&difficulty));
        prop_assert!((5..=13).contains(&problem.num_vars));
        prop_assert!((7..=18).contains(&problem.clauses.len()));
        for clause in &problem.clauses {
            let variables: BTreeSet<u32> = clause.iter().map(|literal| literal.unsigned_abs()).collect();
            prop_assert_eq!((clause.len(), variables.len()), (3, 3));
            prop_assert!(variables.iter().all(|v| (1..=problem.num_vars as u32).contains(v)));
        }
        prop_assert_eq!(Problem::generate(problem.origin.clone()), problem.clone());
        prop_assert_ne!(ProblemSeed::canonical(&hotkey, &hash, index.wrapping_add(1)), problem.origin);
    }

    #[test]
    fn satisfaction_counts_each_clause_once(index in 0u32..1000, bits in vec(any::<bool>(), 13)) {
        let problem = Problem::canonical("5", "0x", index);
        let assignment = &bits[..problem.num_vars];
        let held = problem.clauses.iter().filter(|clause| {
            clause.iter().any(|literal| assignment[literal.unsigned_abs() as usize - 1] == (*literal > 0))
        });
        let held = held.count();
        prop_assert_eq!(problem.satisfied_clauses(assignment), held);
        prop_assert_eq!(problem.is_solved_by(assignment), held == problem.clauses.len());
        prop_assert!(!problem.is_solved_by(&bits[..problem.num_vars - 1]));
    }

    #[test]
    fn a_prompt_states_its_problem(index in 0u32..1000) {
        let problem = Problem::canonical("5", "0x", index);
        let text = prompt(&problem);
        prop_assert!(text.contains(END_OF_TURN) && text.contains(&problem_text(&problem)));
        prop_assert!(text.ends_with(REASONING_START));
        prop_assert_eq!(text.lines().filter(|line| line.starts_with("  (")).count(), problem.clauses.len());
    }

    #[test]
    fn nonces_are_distinct_and_name_their_rollout(a in (0u32.., 0u32..4), b in (0u32.., 0u32..4)) {
        prop_assert_eq!(a == b, nonce(a.0, a.1) == nonce(b.0, b.1));
        prop_assert_eq!(nonce(a.0, a.1) / 10, u64::from(a.0));
        prop_assert_eq!(sat_seed("5", "0x", nonce(a.0, a.1)), format!("5-0x-{}", u64::from(a.0) * 10 + u64::from(a.1)));
    }

    #[test]
    fn a_window_holds_the_blocks_that_start_it(block in any::<u64>()) {
        let start = window_start(block);
        prop_assert!(start <= block && block - start < 30);
        prop_assert_eq!(window_start(start), start);
    }
}

#[test]
fn impossible_draws_are_refused() {
    assert_eq!(open(&[], "00", 1), Err(RandomnessError::NoTokens));
    assert_eq!(open(&[1], "00", 0), Err(RandomnessError::Positions { positions: 0, tokens: 1 }));
    assert!(matches!(open(&[1], "0x", 1), Err(RandomnessError::Hex(_))));
    assert_eq!(prf(b"", &[], 65_537), Err(RandomnessError::TooLong(65_537)));
    assert_eq!(prf(b"", &[], 65_536).map(|bytes| bytes.len()), Ok(65_536));
    assert_eq!(r_vec("00", 0), Err(RandomnessError::Dimension(0)));
    assert_eq!(r_vec("00", 100_001), Err(RandomnessError::Dimension(100_001)));
    assert_eq!(r_vec("00", 100_000).map(|vector| vector.len()), Ok(100_000));
}
