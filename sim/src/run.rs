//! One simulation from configuration to report.

use std::rc::Rc;

use grail_protocol::PROTOCOL;

use crate::config::keypair;
use crate::node::ProcessStart;
use crate::world::{InitialState, MINER_UID, World};

pub use crate::config::{Knobs, SharedObserver, SimConfig, machine, machine_secrets, machine_settings};
pub use crate::report::{SimReport, WindowResult};

/// The first simulated window.
pub const FIRST_WINDOW: u64 = 3_000_000;

/// Runs a simulation; calls `progress` with each window as soon as it is judged.
///
/// # Panics
/// On a deadlock or a live-lock, naming the seed.
pub fn simulate(config: &SimConfig, mut progress: impl FnMut(&WindowResult)) -> SimReport {
    let initial =
        InitialState { now_ms: 0, head: FIRST_WINDOW - 1, window: FIRST_WINDOW, window_ms: PROTOCOL.block_ms };
    let world = Rc::new(World::new(config, keypair(config.seed, "miner"), &initial));
    world.chain.register(&world.keypair.hotkey().to_ss58(), MINER_UID);
    let node = world.node();
    world.start(node, ProcessStart::Begun(machine(config)), 0);
    world.live(&mut progress)
}
