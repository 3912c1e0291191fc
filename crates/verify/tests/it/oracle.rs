//! One alteration at a time, and the check and reason that it must give: a table that knows nothing of the verifier.

use grail_protocol::PROTOCOL;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::open;
use grail_protocol::rollout::Rollout;
use grail_verify::{Check, Failure, Metrics, Reason, RolloutOutcome, Scope, Verdict};

use crate::signed::{BEFORE_IMPROBABLE_EOS, SignedWindow, in_second_group};

type Alteration = fn(&SignedWindow, &mut Vec<Rollout>);

/// Name, alteration, what must come out, and the rollout that it must be found in.
type Row = (&'static str, Alteration, Check, Reason, Option<usize>);

/// The altered rollout: neither the first nor the last of its group.
const ALTERED: usize = in_second_group(1);
/// The one rollout in four whose answer is wrong.
const UNSOLVED: usize = in_second_group(2);
const AT: Option<usize> = Some(ALTERED);

const ROWS: &[Row] = &[
    ("another window", |_, r| r[ALTERED].window_start += 30, Check::Rollout, Reason::WindowMismatch, AT),
    ("another block", |_, r| flip(&mut r[ALTERED].block_hash), Check::Rollout, Reason::BlockHashMismatch, AT),
    ("a nonce twice", |_, r| r[ALTERED].nonce = r[0].nonce, Check::Rollout, Reason::DuplicateNonce, AT),
    ("another nonce", |_, r| r[ALTERED].nonce += 100, Check::Rollout, Reason::SatSeedInvalid, AT),
    ("another seed", |_, r| flip(&mut r[ALTERED].sat_seed), Check::Rollout, Reason::SatSeedInvalid, AT),
    ("another challenge", |_, r| flip(&mut r[ALTERED].challenge), Check::Rollout, Reason::SignatureInvalid, AT),
    ("another signature", |_, r| flip(&mut r[ALTERED].signature), Check::Rollout, Reason::SignatureInvalid, AT),
    ("another hotkey", |_, r| flip(&mut r[ALTERED].hotkey), Check::Rollout, Reason::SignatureInvalid, AT),
    ("a reward too high", |_, r| reward(r, 1.2), Check::Rollout, Reason::RewardOutOfBounds, AT),
    ("a reward too low", |_, r| reward(r, -0.21), Check::Rollout, Reason::RewardOutOfBounds, AT),
    ("a token beyond the vocabulary", |_, r| r[ALTERED].commit.tokens[5] = 0x11_0000, Check::Tokens, Reason::None, AT),
    ("no tokens", |_, r| r[ALTERED].commit.tokens.clear(), Check::Tokens, Reason::None, AT),
    ("a context too long", |_, r| r[ALTERED].commit.tokens.resize(4097, 7), Check::Tokens, Reason::None, AT),
    ("no sketch", |_, r| r[ALTERED].commit.s_vals.clear(), Check::Proof, Reason::InvalidSVals, AT),
    ("a sketch value too few", |_, r| shorten(&mut r[ALTERED].commit.s_vals), Check::Proof, Reason::LengthMismatch, AT),
    ("fifteen tokens", |_, r| truncate(&mut r[ALTERED], 15), Check::Proof, Reason::TooShort, AT),
    ("a bit of a token", |_, r| r[ALTERED].commit.tokens[0] ^= 1, Check::Proof, Reason::CommitSignatureInvalid, AT),
    ("a bit of a sketch", |_, r| r[ALTERED].commit.s_vals[0] ^= 1, Check::Proof, Reason::CommitSignatureInvalid, AT),
    (
        "another commit signature",
        |_, r| flip(&mut r[ALTERED].commit.signature),
        Check::Proof,
        Reason::CommitSignatureInvalid,
        AT,
    ),
    (
        "another beacon",
        |_, r| flip(&mut r[ALTERED].commit.beacon.randomness),
        Check::Proof,
        Reason::CommitSignatureInvalid,
        AT,
    ),
    (
        "another beacon, signed",
        |w, r| {
            flip(&mut r[ALTERED].commit.beacon.randomness);
            w.sign(&mut r[ALTERED]);
        },
        Check::Proof,
        Reason::SketchMismatch,
        AT,
    ),
    (
        "another model, signed",
        |w, r| {
            flip(&mut r[ALTERED].commit.model.name);
            w.sign(&mut r[ALTERED]);
        },
        Check::Proof,
        Reason::ModelMismatch,
        AT,
    ),
    (
        "another layer, signed",
        |w, r| {
            r[ALTERED].commit.model.layer_index = -2;
            w.sign(&mut r[ALTERED]);
        },
        Check::Proof,
        Reason::LayerMismatch,
        AT,
    ),
    (
        "more openings than tokens",
        |_, r| r[ALTERED].proof.indices = vec![0; 5000],
        Check::Proof,
        Reason::IndexDerivationFailed,
        AT,
    ),
    (
        "a bit of a token, signed",
        |w, r| {
            r[ALTERED].commit.tokens[0] ^= 1;
            w.sign(&mut r[ALTERED]);
        },
        Check::Proof,
        Reason::SketchMismatch,
        AT,
    ),
    ("an opened value off by four", |w, r| nudge(w, r, 4), Check::Proof, Reason::SketchMismatch, AT),
    (
        "another number of variables",
        |_, r| r[ALTERED].commit.sat_problem.num_vars += 1,
        Check::Problem,
        Reason::Mismatch,
        AT,
    ),
    ("a literal negated", |_, r| negate(&mut r[ALTERED]), Check::Problem, Reason::Mismatch, AT),
    ("two groups swapped", |_, r| r.rotate_left(4), Check::Problem, Reason::Mismatch, Some(0)),
    ("a rollout of another group", |_, r| r[ALTERED].rollout_group = 0, Check::Problem, Reason::Mismatch, AT),
    (
        "a prompt too short",
        |_, r| r[ALTERED].commit.rollout.prompt_length -= 1,
        Check::Prompt,
        Reason::PromptLenMismatch,
        AT,
    ),
    (
        "a completion too long",
        |_, r| r[ALTERED].commit.rollout.completion_length += 1,
        Check::Prompt,
        Reason::TokenCountMismatch,
        AT,
    ),
    (
        "a prompt token, proved",
        |w, r| {
            r[ALTERED].commit.tokens[9] ^= 1;
            w.prove(&mut r[ALTERED]);
        },
        Check::Prompt,
        Reason::PrefixMismatch,
        AT,
    ),
    (
        "no EOS, proved",
        |w, r| {
            shorten(&mut r[ALTERED].commit.tokens);
            r[ALTERED].commit.rollout.completion_length -= 1;
            w.prove(&mut r[ALTERED]);
        },
        Check::Termination,
        Reason::NeitherMaxLenNorEos,
        AT,
    ),
    (
        "an improbable EOS, proved",
        |w, r| {
            let last = r[ALTERED].commit.tokens.len() - 1;
            r[ALTERED].commit.tokens[last - 1] = BEFORE_IMPROBABLE_EOS.into();
            w.prove(&mut r[ALTERED]);
        },
        Check::Termination,
        Reason::NeitherMaxLenNorEos,
        AT,
    ),
    (
        "1025 new tokens, proved",
        |w, r| {
            let commit = &mut r[ALTERED].commit;
            commit.rollout.completion_length = 1025;
            commit.tokens.resize(commit.rollout.prompt_length + 1025, 'a'.into());
            w.prove(&mut r[ALTERED]);
        },
        Check::Termination,
        Reason::OverMaxNewTokens,
        AT,
    ),
    (
        "another assignment",
        |_, r| r[ALTERED].commit.rollout.assignment[0] ^= true,
        Check::Solution,
        Reason::AssignmentMismatch,
        AT,
    ),
    (
        "an assignment too short",
        |_, r| shorten(&mut r[ALTERED].commit.rollout.assignment),
        Check::Solution,
        Reason::InvalidStructure,
        AT,
    ),
    (
        "a bit of the answer, proved",
        |w, r| {
            let tokens = &mut r[ALTERED].commit.tokens;
            let bit = tokens.len() - "0</SOLUTION>\u{3}".len();
            tokens[bit] ^= 1;
            w.prove(&mut r[ALTERED]);
        },
        Check::Solution,
        Reason::AssignmentMismatch,
        AT,
    ),
    (
        "success without a solution",
        |_, r| r[UNSOLVED].commit.rollout.success = true,
        Check::Solution,
        Reason::NotSatisfied,
        Some(UNSOLVED),
    ),
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
    for (name, alteration, check, reason, rollout) in ROWS {
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

fn reward(rollouts: &mut [Rollout], total: f64) {
    rollouts[ALTERED].commit.rollout.total_reward = total;
}

fn truncate(rollout: &mut Rollout, tokens: usize) {
    rollout.commit.tokens.truncate(tokens);
    rollout.commit.s_vals.truncate(tokens);
}

fn negate(rollout: &mut Rollout) {
    let literal = &mut rollout.commit.sat_problem.clauses[0][0];
    *literal = -*literal;
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
