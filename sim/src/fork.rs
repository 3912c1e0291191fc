//! A recorded run continues in a simulated world: open questions are asked again, and from there on seed and faults
//! decide.

use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use grail_protocol::signature::{Hotkey, Keypair};

use crate::config::{SimConfig, keypair};
use crate::node::{Node, ProcessStart};
use crate::past::Past;
use crate::report::SimReport;
use crate::stream::Stream;
use crate::world::{InitialState, MINER_UID, World};

/// Windows that a fork lives through: the one that it starts in, and the next.
pub const WINDOWS: u64 = 2;

/// Why a run cannot continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// There is nothing left that could continue.
    #[error("the miner had already stopped there; fork at an earlier event")]
    Ended,
    /// The chain's block is unknown.
    #[error("no block is known; fork a tape that has a head")]
    NoHead,
}

/// Returns the key of the miner that was simulated under this seed, if it has this hotkey.
pub fn simulated_key(seed: u64, hotkey: &Hotkey) -> Option<Keypair> {
    Some(keypair(seed, "miner")).filter(|keypair| keypair.hotkey() == *hotkey)
}

/// Continues `past` in the world of `config` until its window and the next one are judged. `first_head` is the first
/// head that the log shows, for a past that ends before it.
///
/// # Errors
/// [`ForkError`] if there is nothing to continue from.
pub fn fork(past: Past, first_head: Option<u64>, keypair: Keypair, config: &SimConfig) -> Result<SimReport, ForkError> {
    if past.has_exited {
        return Err(ForkError::Ended);
    }
    let before_first = first_head.and_then(|head| head.checked_sub(1));
    let head = past.head.or(before_first).ok_or(ForkError::NoHead)?;
    let now_ms = past.now.monotonic_ms;
    let window = window_start(past.head.unwrap_or_else(|| head + 1));
    let window_ms = past.window_ms.unwrap_or(now_ms + PROTOCOL.block_ms);
    let config = SimConfig { windows: WINDOWS, ..config.clone() };
    let hotkey = keypair.hotkey().to_ss58();
    let world = Rc::new(World::new(&config, keypair, &InitialState { now_ms, head, window, window_ms }));
    let node = world.node();
    bring(&world, &node, &past, &hotkey, config.seed);
    let (outstanding, versions) = (past.outstanding(), past.versions + 1);
    world.set_safety(past.safety);
    let process = match past.has_started {
        true => ProcessStart::Resumed(past.machine, outstanding),
        false => ProcessStart::Begun(past.machine),
    };
    world.start(node, process, versions);
    Ok(world.live(&mut |_| {}))
}

/// Brings a world to the state of the past.
fn bring(world: &World, node: &Node, past: &Past, hotkey: &str, seed: u64) {
    if past.is_registered != Some(false) {
        world.chain.register(hotkey, MINER_UID);
    }
    if let Some(credentials) = &past.commitment {
        world.chain.commit(hotkey, credentials);
    }
    for (block, hash) in &past.hashes {
        world.chain.know(*block, hash);
    }
    for record in &past.journal {
        node.journal.hold(record);
    }
    for (key, (bytes, version)) in &past.objects {
        world.bucket.place(key, bytes, *version);
    }
    // It happened or not; nobody has read it yet.
    let took_place = Stream::new(seed, "fork/uncertain-write", past.now.monotonic_ms).one_in(2);
    if let Some((key, bytes)) = past.uncertain.as_ref().filter(|_| took_place) {
        world.bucket.place(key, bytes, past.versions + 1);
    }
}
