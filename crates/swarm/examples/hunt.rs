//! Draws worlds from seed 0 on until a violation, `hunt SEEDS [ROLE]`, or tries one miner's case, `hunt FILE`. The role is
//! `miner` or `validator`.
//!
//! Prints `seed|violation` and exits with 0 if something was found, as it should be with a planted bug, and with 1 otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use grail_judging::{JudgingCase, Verdicts, Watched, judge_world};
use grail_sim::case::Case;
use grail_sim::run::simulate;
use grail_sim::shrink::failure_key;
use grail_sim::synthetic::SyntheticModel;

const WINDOWS: u64 = 3;

fn first(violations: impl FnOnce() -> Vec<String>) -> Option<String> {
    let violations = catch_unwind(AssertUnwindSafe(violations));
    violations.map_or_else(|_| Some("panic".to_owned()), |violations| violations.into_iter().next())
}

fn of_miner(case: &Case) -> Option<String> {
    first(|| simulate(&case.config(Rc::new(SyntheticModel::default())), |_| {}).violations)
}

fn of_validator(seed: u64, verdicts: &Rc<Verdicts>) -> Option<String> {
    first(|| judge_world(&JudgingCase::drawn(seed, WINDOWS), verdicts, Watched::default()).violations)
}

#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a command of its own")]
fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).expect("hunt SEEDS [ROLE], or hunt FILE");
    let is_validator = std::env::args().nth(2).is_some_and(|role| role == "validator");
    std::panic::set_hook(Box::new(|_| {}));
    let verdicts = Rc::new(Verdicts::new(Rc::new(SyntheticModel::default())));
    let of_seed =
        |seed| if is_validator { of_validator(seed, &verdicts) } else { of_miner(&Case::drawn(seed, WINDOWS)) };
    let found = match wanted.parse::<u64>() {
        Ok(seeds) => (0..seeds).find_map(|seed| Some((seed, of_seed(seed)?))),
        Err(_) => {
            let text = std::fs::read_to_string(&wanted).expect("a readable case");
            let case: Case = serde_json::from_str(&text).expect("a case of the present format");
            of_miner(&case).map(|violation| (case.seed, violation))
        }
    };
    let Some((seed, violation)) = found else {
        return ExitCode::FAILURE;
    };
    println!("{seed}|{}", failure_key(&violation));
    ExitCode::SUCCESS
}
