//! A group assembled from generated rollouts: its claims, signatures and form in the file.

use std::io::Read;

use flate2::read::GzDecoder;
use grail_protocol::PROTOCOL;
use grail_protocol::generation::{GeneratedRollout, ProofPass, Tokenizer};
use grail_protocol::hexadecimal::randomness_bytes;
use grail_protocol::problem::Problem;
use grail_protocol::python_json::{self, Value};
use grail_protocol::randomness::open;
use grail_protocol::rollout::{AssembleError, GroupOrigin, Rollout, WindowContext, assemble_group};
use grail_protocol::signature::{Keypair, binding_of};
use grail_protocol::window_file::{PackedGroup, WindowFile, unpack};

const PROMPT_LENGTH: usize = 20;

#[test]
fn a_group_claims_what_its_tokens_say() {
    let problem = problem();
    let solution = solve(&problem);
    let rollouts = assemble(&completions(&solution)).unwrap();
    let expected_rewards = [1.135, 0.135, -0.2];
    for (i, rollout) in rollouts.iter().enumerate() {
        let meta = &rollout.commit.rollout;
        let expected = expected_rewards[i.min(2)];
        assert!((meta.total_reward - expected).abs() < 1e-9, "rollout {i}: {}", meta.total_reward);
        assert_eq!(meta.success, i == 0);
        assert_eq!(meta.prompt_length + meta.completion_length, rollout.commit.tokens.len());
        assert_eq!(meta.trajectory, [(0, meta.assignment.clone(), meta.total_reward)]);
        assert_eq!(rollout.nonce, 70 + i as u64);
        assert_eq!(rollout.proof.indices, open(&rollout.commit.tokens, &rollout.randomness, 16).unwrap());
        assert_eq!(rollout.commit.sat_problem.clauses, problem.clauses);
    }
    assert_eq!(rollouts[0].commit.rollout.assignment, solution);
    assert_eq!(rollouts[0].commit.rollout.satisfied_clauses, problem.clauses.len());
    let sum: f64 = rollouts.iter().map(|rollout| rollout.commit.rollout.advantage).sum();
    assert!(sum.abs() < 1e-9, "{sum}");
}

#[test]
fn a_group_is_signed_twice_per_rollout() {
    let hotkey = keypair().hotkey();
    for rollout in assemble(&completions(&[true])).unwrap() {
        let challenge = format!("{}{}{}", rollout.sat_seed, rollout.block_hash, rollout.nonce);
        assert_eq!(rollout.challenge, challenge);
        assert!(hotkey.verifies(challenge.as_bytes(), &hex::decode(&rollout.signature).unwrap()));
        let commit = &rollout.commit;
        let randomness = randomness_bytes(&commit.beacon.randomness).unwrap();
        let binding = binding_of(&commit.tokens, &commit.s_vals, &randomness);
        assert!(hotkey.verifies(&binding, &hex::decode(&commit.signature).unwrap()));
    }
}

#[test]
fn a_rollout_as_a_value_is_what_its_file_reads_as() {
    let rollouts = assemble(&completions(&[true])).unwrap();
    let file = WindowFile::new("5", 300, rollouts.iter().collect(), 1.5);
    let read = unpack(&file.pack()).unwrap();
    let inferences = read.get("inferences").and_then(Value::as_list).unwrap();
    assert_eq!(inferences.len(), rollouts.len());
    for (rollout, read) in rollouts.iter().zip(inferences) {
        assert_eq!(format!("{:?}", rollout.to_value()), format!("{read:?}"));
    }
    let plain = python_json::parse(&serde_json::to_vec(&file).unwrap()).unwrap();
    assert_eq!(plain, read);
}

#[test]
fn groups_packed_one_by_one_unpack_to_the_same_json_as_the_file_packed_whole() {
    let groups: Vec<Vec<Rollout>> =
        (0..).zip([false, true, false]).map(|(index, bit)| assemble_as(index, &completions(&[bit])).unwrap()).collect();
    let packed: Vec<PackedGroup> = groups.iter().map(|group| PackedGroup::new(group)).collect();
    for count in 0..=groups.len() {
        let joined = PackedGroup::join(&packed[..count].iter().collect::<Vec<_>>(), "5", 300, 1.5);
        let whole = WindowFile::new("5", 300, groups[..count].iter().flatten().collect(), 1.5).pack();
        // One member, as every reader of gzip takes it; the trailing checksum and length are verified by the reader.
        let unzipped = |bytes: &[u8]| {
            let mut json = String::new();
            GzDecoder::new(bytes).read_to_string(&mut json).map(|_| json)
        };
        let expected = unzipped(&whole).unwrap();
        assert_eq!(unzipped(&joined).unwrap(), expected, "{count} groups");
        let mut other_length = joined.clone();
        *other_length.last_mut().unwrap() ^= 1;
        unzipped(&other_length).unwrap_err();
    }
}

#[test]
fn incomplete_files_are_refused() {
    let generated = completions(&[true]);
    assert_eq!(assemble(&generated[..3]), Err(AssembleError::Count { expected: 4, found: 3 }));
    let altered = |alter: fn(&mut GeneratedRollout)| {
        let mut generated = generated.clone();
        alter(&mut generated[2]);
        assemble(&generated)
    };
    assert!(matches!(
        altered(|g| {
            g.pass.s_vals.pop();
        }),
        Err(AssembleError::Lengths { rollout: 2, .. })
    ));
    assert!(matches!(altered(|g| g.prompt_length = 1000), Err(AssembleError::Lengths { rollout: 2, .. })));
    let position = PROMPT_LENGTH;
    assert_eq!(
        altered(|g| g.token_logprobs[PROMPT_LENGTH] = f64::NEG_INFINITY),
        Err(AssembleError::NotFinite { rollout: 2, position })
    );
}

/// One character a token.
struct Characters;

impl Tokenizer for Characters {
    fn encode(&self, text: &str) -> Vec<u32> {
        text.chars().map(u32::from).collect()
    }

    fn decode(&self, tokens: &[u32], _: bool) -> String {
        tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
    }
}

fn keypair() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

fn window() -> WindowContext {
    WindowContext {
        hotkey: keypair().hotkey(),
        window_start: 300,
        block_hash: format!("0x{}", "ab".repeat(32)),
        randomness: "cd".repeat(32),
        use_drand: true,
    }
}

fn problem() -> Problem {
    Problem::canonical(&keypair().hotkey().to_ss58(), &window().block_hash, 7)
}

fn assemble(generated: &[GeneratedRollout]) -> Result<Vec<Rollout>, AssembleError> {
    assemble_as(7, generated)
}

fn assemble_as(group: u32, generated: &[GeneratedRollout]) -> Result<Vec<Rollout>, AssembleError> {
    let keypair = keypair();
    let origin = GroupOrigin { group, block: 305, timestamp: 1_758_700_000.25 };
    assemble_group(&window(), origin, generated, &Characters, &|message| keypair.sign(message))
}

/// Right, wrong, without an answer, without an answer.
fn completions(solution: &[bool]) -> Vec<GeneratedRollout> {
    let digits = |flip: bool| solution.iter().map(|bit| if *bit != flip { '1' } else { '0' }).collect::<String>();
    let right = format!("<SOLUTION>{}</SOLUTION>", digits(false));
    let wrong = format!("<SOLUTION>{}</SOLUTION>", digits(true));
    [right, wrong, "no idea".to_owned(), "none".to_owned()].iter().map(|text| generated(text)).collect()
}

fn generated(completion: &str) -> GeneratedRollout {
    let mut tokens = vec![32; PROMPT_LENGTH];
    tokens.extend(Characters.encode(completion));
    let count = tokens.len();
    GeneratedRollout {
        prompt_length: PROMPT_LENGTH,
        token_logprobs: (0..count).map(|i| if i < PROMPT_LENGTH { 0.0 } else { -0.1 * i as f64 }).collect(),
        pass: ProofPass {
            s_vals: (0..count as u32).map(|i| i * 1_000_003 % PROTOCOL.modulus).collect(),
            probabilities: vec![0.5; count - 1],
            eos_probability: 0.5,
        },
        tokens,
    }
}

fn solve(problem: &Problem) -> Vec<bool> {
    let assignments =
        (0u32..1 << problem.num_vars).map(|bits| (0..problem.num_vars).map(|i| bits >> i & 1 == 1).collect());
    assignments
        .into_iter()
        .find(|assignment: &Vec<bool>| problem.is_solved_by(assignment))
        .expect("this problem has a solution")
}
