//! Draws worlds from seed 0 on until something forbidden happens: `hunt SEEDS`.
//!
//! Prints `seed|violation` and ends with 0 where something was found, which is what a planted bug is for, otherwise with 1.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use grail_sim::case::Case;
use grail_sim::run::simulate;
use grail_sim::shrink::failure_key;
use grail_sim::synthetic::SyntheticModel;

const WINDOWS: u64 = 3;

#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a command of its own")]
fn main() -> ExitCode {
    let seeds = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    std::panic::set_hook(Box::new(|_| {}));
    let violation = |seed: u64| {
        let config = Case::drawn(seed, WINDOWS).config(Rc::new(SyntheticModel::default()));
        let outcome = catch_unwind(AssertUnwindSafe(|| simulate(&config, |_| {}).violations));
        outcome.map_or_else(|_| Some("panic".to_owned()), |violations| violations.into_iter().next())
    };
    let Some((seed, violation)) = (0..seeds).find_map(|seed| Some((seed, violation(seed)?))) else {
        return ExitCode::FAILURE;
    };
    println!("{seed}|{}", failure_key(&violation));
    ExitCode::SUCCESS
}
