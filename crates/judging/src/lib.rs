//! A validator as the subject: the real core and driver in a subnet of honest, slow and hostile miners, with everything
//! that goes wrong around a validator.
//!
//! Each world is run twice: once as its case says, and once for a twin to which nothing happens, on the same chain and
//! with the same miners. `oracle.rs` watches the first run, and `compare.rs` compares both. Verdicts come from a table that is
//! made by verifying one file of each conduct for real, so that a world takes milliseconds. Like the simulator, this crate may
//! touch nothing outside the process: no clock, no network, no file.

pub mod case;
mod compare;
mod gate;
mod journal;
mod life;
mod links;
mod oracle;
mod outside;
mod subnet;
mod verdicts;
mod weights;
mod world;

pub use case::JudgingCase;
pub use life::{JudgingReport, SharedObserver, Watched};
pub use verdicts::Verdicts;
pub use world::{judge_world, settings};

/// Returns every mark of validators, sorted: answers, outcomes, and faults that had an effect.
pub fn marks() -> Vec<String> {
    let faults = case::KINDS.iter().map(|kind| format!("validator/fault/{}", kind.name()));
    let mut marks: Vec<String> = oracle::MARKS.iter().map(|mark| format!("validator/{mark}")).chain(faults).collect();
    marks.sort_unstable();
    marks
}
