//! Draws worlds from seed 0 on until a violation, `hunt SEEDS [ROLE]`, or tries one miner's case, `hunt FILE`. The role is
//! `miner` or `validator`.
//!
//! Prints `seed|violation` and exits with 0 if something was found, as it should be with a planted bug, and with 1 otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Returns the lowest seed below `seeds` whose world has a violation, and the violation. Every core draws worlds.
fn lowest(seeds: u64, is_validator: bool) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(None::<(u64, String)>));
    let draw = || {
        let verdicts = Rc::new(Verdicts::new(Rc::new(SyntheticModel::default())));
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // Seeds below one that was found may still be running elsewhere; those above it need not begin.
            if seed >= seeds || found.lock().unwrap().as_ref().is_some_and(|(known, _)| *known < seed) {
                return;
            }
            let violation =
                if is_validator { of_validator(seed, &verdicts) } else { of_miner(&Case::drawn(seed, WINDOWS)) };
            let mut found = found.lock().unwrap();
            if let Some(violation) = violation.filter(|_| found.as_ref().is_none_or(|(known, _)| seed < *known)) {
                *found = Some((seed, violation));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(draw))));
    found.into_inner().unwrap()
}

#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a command of its own")]
fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).expect("hunt SEEDS [ROLE], or hunt FILE");
    let is_validator = std::env::args().nth(2).is_some_and(|role| role == "validator");
    std::panic::set_hook(Box::new(|_| {}));
    let found = match wanted.parse::<u64>() {
        Ok(seeds) => lowest(seeds, is_validator),
        Err(_) => {
            let text = std::fs::read_to_string(&wanted).expect("a readable case");
            let case: Case = serde_json::from_str(&text).expect("a case of the present format");
            of_miner(&case).map(|violation| (case.seed, violation))
        }
    };
    let Some((seed, violation)) = found else { return ExitCode::FAILURE };
    println!("{seed}|{}", failure_key(&violation));
    ExitCode::SUCCESS
}
