//! Draws worlds from seed 0 on until a violation, `hunt SEEDS`, or tries one case, `hunt FILE`.
//!
//! Prints `seed|violation` and exits with 0 if something was found, as it should be with a planted bug, and with 1 otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use grail_sim::case::Case;
use grail_sim::run::simulate;
use grail_sim::shrink::failure_key;
use grail_sim::synthetic::SyntheticModel;

const WINDOWS: u64 = 3;

fn violation(case: &Case) -> Option<String> {
    let config = case.config(Rc::new(SyntheticModel::default()));
    let outcome = catch_unwind(AssertUnwindSafe(|| simulate(&config, |_| {}).violations));
    outcome.map_or_else(|_| Some("panic".to_owned()), |violations| violations.into_iter().next())
}

#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a command of its own")]
fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).expect("hunt SEEDS|FILE");
    std::panic::set_hook(Box::new(|_| {}));
    let found = match wanted.parse::<u64>() {
        Ok(seeds) => (0..seeds).find_map(|seed| Some((seed, violation(&Case::drawn(seed, WINDOWS))?))),
        Err(_) => {
            let text = std::fs::read_to_string(&wanted).expect("a readable case");
            let case: Case = serde_json::from_str(&text).expect("a case of the present format");
            violation(&case).map(|violation| (case.seed, violation))
        }
    };
    let Some((seed, violation)) = found else {
        return ExitCode::FAILURE;
    };
    println!("{seed}|{}", failure_key(&violation));
    ExitCode::SUCCESS
}
