//! Worlds that several tests use.

use std::rc::Rc;

use grail_miner::policy::UploadPolicy;
use grail_sim::case::{Case, FORMAT, Speed};
use grail_sim::engine::EngineSpeed;
use grail_sim::run::{Knobs, SimConfig, SimReport, simulate};
use grail_sim::synthetic::SyntheticModel;

/// Returns how often a test does something: its usual number, or what the variable asks for.
pub(crate) fn raised(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// Simulates a world with the synthetic model.
pub(crate) fn run(world: &Case) -> SimReport {
    simulate(&world.config(Rc::new(SyntheticModel::default())), |_| {})
}

/// Returns a simulation without faults, with the synthetic model at this speed.
pub(crate) fn at_speed(speed: &str, seed: u64, windows: u64) -> SimConfig {
    let speed = EngineSpeed::named(speed).expect("a known speed");
    SimConfig::new(Rc::new(SyntheticModel::default()), speed, seed, windows)
}

/// Returns one window of three groups with an early upload and one at the end, and the window after it, in which is
/// settled what the first one left.
pub(crate) fn two_windows() -> Case {
    Case {
        format: FORMAT,
        seed: 11,
        windows: 2,
        speed: Speed { groups_in_flight: 1, tokens_per_s: 60, proof_us_per_token: 100 },
        groups_max: 3,
        use_drand: true,
        policy: UploadPolicy::All,
        knobs: Knobs::default(),
        faults: Vec::new(),
    }
}
