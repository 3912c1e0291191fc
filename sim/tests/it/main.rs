//! The simulated world against its promises, and the miner in it.

mod cases;
mod contracts;
mod crashes;
mod failing_calls;
mod fork;
mod lifecycle;
mod machine;
mod memory;
#[cfg(feature = "mutants")]
mod mutants;
mod rehearsal;
mod rivals;
mod scenario_files;
mod scenarios;
mod swarm;
mod worlds;
