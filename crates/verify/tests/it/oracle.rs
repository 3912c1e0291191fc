//! One alteration at a time, and the check and reason that it must give: a table that knows nothing of the verifier.

use grail_protocol::PROTOCOL;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::open;
use grail_protocol::rollout::Rollout;
use grail_verify::{Check, Failure, Metrics, Reason, RolloutOutcome, Scope, Verdict};

use crate::signed::{BEFORE_IMPROBABLE_EOS, SignedWindow};

type Alteration = fn(&SignedWindow, &mut Vec<Rollout>);

/// Name, alteration of one rollout, and what must come out.
type Row = (&'static str, fn(&mut Rollout), Check, Reason);
/// What is done after an alteration.
type Again = fn(&SignedWindow, &mut Rollout);

/// The altered rollout: neither the first nor the last of its group, which is the second.
const ALTERED: usize = PROTOCOL.rollouts_per_group + 1;
/// The one rollout in four whose answer is wrong.
const UNSOLVED: usize = PROTOCOL.rollouts_per_group + 2;
const AT: Option<usize> = Some(ALTERED);

/// With the signatures as they were.
const AS_SIGNED: &[Row] = &[
    ("another window", |r| r.window_start += 30, Check::Rollout, Reason::WindowMismatch),
    ("another block", |r| flip(&mut r.block_hash), Check::Rollout, Reason::BlockHashMismatch),
    ("another nonce", |r| r.nonce += 100, Check::Rollout, Reason::SatSeedInvalid),
    ("another seed", |r| flip(&mut r.sat_seed), Check::Rollout, Reason::SatSeedInvalid),
    ("another challenge", |r| flip(&mut r.challenge), Check::Rollout, Reason::SignatureInvalid),
    ("another signature", |r| flip(&mut r.signature), Check::Rollout, Reason::SignatureInvalid),
    ("another hotkey", |r| flip(&mut r.hotkey), Check::Rollout, Reason::SignatureInvalid),
    ("a reward too high", |r| r.commit.rollout.total_reward = 1.2, Check::Rollout, Reason::RewardOutOfBounds),
    ("a reward too low", |r| r.commit.rollout.total_reward = -0.21, Check::Rollout, Reason::RewardOutOfBounds),
    ("a token beyond the vocabulary", |r| r.commit.tokens[5] = 0x11_0000, Check::Tokens, Reason::None),
    ("no tokens", |r| r.commit.tokens.clear(), Check::Tokens, Reason::None),
    ("a context too long", |r| r.commit.tokens.resize(4097, 7), Check::Tokens, Reason::None),
    ("no sketch", |r| r.commit.s_vals.clear(), Check::Proof, Reason::InvalidSVals),
    ("a sketch value too few", |r| shorten(&mut r.commit.s_vals), Check::Proof, Reason::LengthMismatch),
    ("fifteen tokens", |r| truncate(r, 15), Check::Proof, Reason::TooShort),
    ("a bit of a token", |r| r.commit.tokens[0] ^= 1, Check::Proof, Reason::CommitSignatureInvalid),
    ("a bit of a sketch", |r| r.commit.s_vals[0] ^= 1, Check::Proof, Reason::CommitSignatureInvalid),
    ("another commit signature", |r| flip(&mut r.commit.signature), Check::Proof, Reason::CommitSignatureInvalid),
    ("another beacon", |r| flip(&mut r.commit.beacon.randomness), Check::Proof, Reason::CommitSignatureInvalid),
    ("more openings than tokens", |r| r.proof.indices = vec![0; 5000], Check::Proof, Reason::IndexDerivationFailed),
    ("another number of variables", |r| r.commit.sat_problem.num_vars += 1, Check::Problem, Reason::Mismatch),
    ("a literal negated", negate, Check::Problem, Reason::Mismatch),
    ("a rollout of another group", |r| r.rollout_group = 0, Check::Problem, Reason::Mismatch),
    ("a prompt too short", |r| r.commit.rollout.prompt_length -= 1, Check::Prompt, Reason::PromptLenMismatch),
    ("a completion too long", |r| r.commit.rollout.completion_length += 1, Check::Prompt, Reason::TokenCountMismatch),
    ("another assignment", |r| r.commit.rollout.assignment[0] ^= true, Check::Solution, Reason::AssignmentMismatch),
    ("a short assignment", |r| shorten(&mut r.commit.rollout.assignment), Check::Solution, Reason::InvalidStructure),
];

/// Signed again.
const SIGNED: &[Row] = &[
    ("another beacon, signed", |r| flip(&mut r.commit.beacon.randomness), Check::Proof, Reason::SketchMismatch),
    ("another model, signed", |r| flip(&mut r.commit.model.name), Check::Proof, Reason::ModelMismatch),
    ("another layer, signed", |r| r.commit.model.layer_index = -2, Check::Proof, Reason::LayerMismatch),
    ("a bit of a token, signed", |r| r.commit.tokens[0] ^= 1, Check::Proof, Reason::SketchMismatch),
];

/// Sketched and signed again.
const PROVED: &[Row] = &[
    ("a prompt token, proved", |r| r.commit.tokens[9] ^= 1, Check::Prompt, Reason::PrefixMismatch),
    ("no EOS, proved", without_eos, Check::Termination, Reason::NeitherMaxLenNorEos),
    ("an improbable EOS, proved", improbable_eos, Check::Termination, Reason::NeitherMaxLenNorEos),
    ("1025 new tokens, proved", too_many_tokens, Check::Termination, Reason::OverMaxNewTokens),
    ("a bit of the answer, proved", flip_answer, Check::Solution, Reason::AssignmentMismatch),
];

/// Alterations of a whole file, and the rollout that each must be found in.
const OF_THE_FILE: &[(&str, Alteration, Check, Reason, Option<usize>)] = &[
    ("a nonce twice", |_, r| r[ALTERED].nonce = r[0].nonce, Check::Rollout, Reason::DuplicateNonce, AT),
    ("an opened value off by four", |w, r| nudge(w, r, 4), Check::Proof, Reason::SketchMismatch, AT),
    ("two groups swapped", |_, r| r.rotate_left(4), Check::Problem, Reason::Mismatch, Some(0)),
    ("success without a solution", |_, r| claim_success(r), Check::Solution, Reason::NotSatisfied, Some(UNSOLVED)),
    ("an advantage off", |_, r| r[ALTERED].commit.rollout.advantage += 0.02, Check::Group, Reason::AdvantageSum, None),
    ("a rollout too few", |_, r| drop(r.remove(ALTERED)), Check::Group, Reason::GroupSize, None),
];

#[test]
fn the_unaltered_file_is_accepted() {
    let window = SignedWindow::shared();
    let metrics = Metrics { valid: 8, checked: 8, total: 8, estimated_valid: 8, successful: 6, unique: 2 };
    for scope in [Scope::Validator, Scope::Everything] {
        let report = window.judge(&window.document(&window.rollouts), scope);
        assert_eq!(report.verdict, Verdict::Accepted { metrics, soft_failures: 0 });
        assert!(report.rollouts.iter().all(|rollout| rollout.outcome == RolloutOutcome::Valid));
    }
}

#[test]
fn each_alteration_gives_its_check_and_reason() {
    let window = SignedWindow::shared();
    let again: [(_, Again); 3] = [(AS_SIGNED, |_, _| {}), (SIGNED, SignedWindow::sign), (PROVED, SignedWindow::prove)];
    for (rows, again) in again {
        for (name, alteration, check, reason) in rows {
            let mut rollouts = window.rollouts.clone();
            alteration(&mut rollouts[ALTERED]);
            again(window, &mut rollouts[ALTERED]);
            assert_failure(name, &window.document(&rollouts), *check, *reason, AT);
        }
    }
    for (name, alteration, check, reason, rollout) in OF_THE_FILE {
        let mut rollouts = window.rollouts.clone();
        alteration(window, &mut rollouts);
        assert_failure(name, &window.document(&rollouts), *check, *reason, *rollout);
    }
}

#[test]
fn each_missing_field_is_named() {
    let window = SignedWindow::shared();
    let fields = "window_start nonce sat_seed block_hash commit proof challenge hotkey signature rollout_group";
    for field in fields.split(' ') {
        let document = without(&window.document(&window.rollouts), &[field]);
        assert_failure(field, &document, Check::Rollout, Reason::MissingFields, AT);
    }
    let of_commit = [
        ("tokens", Check::Tokens, Reason::None),
        ("s_vals", Check::Proof, Reason::MissingFields),
        ("signature", Check::Proof, Reason::CommitSignatureInvalid),
        ("model", Check::Proof, Reason::CommitSignatureInvalid),
        ("beacon", Check::Proof, Reason::CommitSignatureInvalid),
        ("sat_problem", Check::Problem, Reason::Mismatch),
    ];
    for (field, check, reason) in of_commit {
        let document = without(&window.document(&window.rollouts), &["commit", field]);
        assert_failure(field, &document, check, reason, AT);
    }
}

#[test]
fn fields_that_no_check_reads_change_nothing() {
    let window = SignedWindow::shared();
    let harmless: [(&str, Alteration); 8] = [
        ("the head", |_, r| r[ALTERED].block += 1),
        ("the outer difficulty", |_, r| r[ALTERED].difficulty = 9.0),
        ("the rollout's index", |_, r| r[ALTERED].rollout_index = 9),
        ("the time", |_, r| r[ALTERED].timestamp = 0.0),
        ("the problem's seed", |_, r| flip(&mut r[ALTERED].commit.sat_problem.seed)),
        ("the logprobs", |_, r| r[ALTERED].commit.rollout.token_logprobs.clear()),
        ("an opened value off by three", |w, r| nudge(w, r, 3)),
        ("fewer openings", |_, r| r[ALTERED].proof.indices.clear()),
    ];
    let honest = window.judge(&window.document(&window.rollouts), Scope::Validator);
    for (name, alteration) in harmless {
        let mut rollouts = window.rollouts.clone();
        alteration(window, &mut rollouts);
        assert_ne!(rollouts, window.rollouts, "{name}");
        assert_eq!(window.judge(&window.document(&rollouts), Scope::Validator), honest, "{name}");
    }
}

fn assert_failure(name: &str, document: &Value, check: Check, reason: Reason, rollout: Option<usize>) {
    for scope in [Scope::Validator, Scope::Everything] {
        let report = SignedWindow::shared().judge(document, scope);
        let Verdict::Rejected { failure: Failure { check: c, reason: r, rollout: at, group }, checked, .. } =
            report.verdict
        else {
            panic!("{name}: {:?}", report.verdict);
        };
        assert_eq!((c, r, at), (check, reason, rollout), "{name}");
        assert_eq!(group.is_some(), rollout.is_none(), "{name}");
        if let Some(rollout) = rollout {
            assert_eq!(checked, rollout + 1, "{name}");
            assert_eq!(report.rollouts[rollout].outcome, RolloutOutcome::Failed(check, reason), "{name}");
        }
    }
}

/// Another character of the same kind at the end.
fn flip(text: &mut String) {
    let last = text.pop();
    text.push(if last == Some('1') { '2' } else { '1' });
}

fn shorten<T>(items: &mut Vec<T>) {
    items.pop();
}

fn truncate(rollout: &mut Rollout, tokens: usize) {
    rollout.commit.tokens.truncate(tokens);
    rollout.commit.s_vals.truncate(tokens);
}

fn negate(rollout: &mut Rollout) {
    let literal = &mut rollout.commit.sat_problem.clauses[0][0];
    *literal = -*literal;
}

fn without_eos(rollout: &mut Rollout) {
    shorten(&mut rollout.commit.tokens);
    rollout.commit.rollout.completion_length -= 1;
}

fn improbable_eos(rollout: &mut Rollout) {
    let last = rollout.commit.tokens.len() - 1;
    rollout.commit.tokens[last - 1] = BEFORE_IMPROBABLE_EOS.into();
}

fn too_many_tokens(rollout: &mut Rollout) {
    let commit = &mut rollout.commit;
    commit.rollout.completion_length = 1025;
    commit.tokens.resize(commit.rollout.prompt_length + 1025, 'a'.into());
}

fn flip_answer(rollout: &mut Rollout) {
    let tokens = &mut rollout.commit.tokens;
    let bit = tokens.len() - "0</SOLUTION>\u{3}".len();
    tokens[bit] ^= 1;
}

fn claim_success(rollouts: &mut [Rollout]) {
    rollouts[UNSOLVED].commit.rollout.success = true;
}

/// Moves the first opened value around the circle.
fn nudge(window: &SignedWindow, rollouts: &mut [Rollout], by: u32) {
    let rollout = &mut rollouts[ALTERED];
    let randomness = &window.facts.challenge_randomness;
    let opened = open(&rollout.commit.tokens, randomness, PROTOCOL.challenge_positions).unwrap();
    let value = &mut rollout.commit.s_vals[opened[0]];
    *value = (*value + by) % PROTOCOL.modulus;
    window.sign(rollout);
}

/// Returns the document without a field of the altered rollout.
fn without(document: &Value, path: &[&str]) -> Value {
    let mut document = document.clone();
    let (last, parents) = path.split_last().unwrap();
    let Value::Object(fields) = &mut document else { panic!("the document is an object") };
    let Some(Value::List(inferences)) = fields.get_mut("inferences") else { panic!("no rollouts") };
    let mut holder = &mut inferences[ALTERED];
    for key in parents {
        let Value::Object(fields) = holder else { panic!("{key} is in no object") };
        holder = fields.get_mut(*key).unwrap();
    }
    let Value::Object(fields) = holder else { panic!("{last} is in no object") };
    assert!(fields.remove(*last).is_some(), "{last} was not there");
    document
}
