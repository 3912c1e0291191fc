//! A miner that cheats in every window, for tests of a network: its file comes into being next to the bucket's server.

use std::time::Duration;

use grail_engine::CpuEngine;
use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use grail_protocol::randomness::window_randomness;
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::object_key;
use grail_sim::rivals::{Bench, Cheat};
use tokio::sync::watch;

use super::world::World;

/// Once this many blocks follow, the window's first block is final.
const FINAL_BLOCKS: u64 = 4;

/// Cheats until the world says that it is over, and is honest from then on until `over`.
pub(super) fn run(world: &World, cheat: Cheat, engine: &CpuEngine, over: watch::Receiver<bool>) {
    let cheater = world
        .members
        .iter()
        .find_map(|member| Some((member, member.account.as_ref()?)).filter(|_| member.name == "cheat-1"));
    let Some((member, account)) = cheater else { return };
    let credentials =
        format!("{:<32}{:<32}{:<64}", account.account_id, account.read_key.id, account.read_key.secret).into_bytes();
    world.chain.state().commit(PROTOCOL.netuid, member.hotkey(), &credentials);
    let keypair = Keypair::from_seed(&member.seed);
    let mut done = None;
    while !*over.borrow() {
        let (start, is_final, hash) = {
            let state = world.chain.state();
            let start = window_start(state.head());
            (start, state.head() >= start + FINAL_BLOCKS, state.hash(start))
        };
        if let Some(block_hash) = hash.filter(|_| is_final && done != Some(start)) {
            done = Some(start);
            let window = WindowContext {
                hotkey: member.hotkey(),
                window_start: start,
                randomness: window_randomness(&block_hash, None),
                block_hash,
                use_drand: false,
            };
            let bench = Bench { keypair: &keypair, window: &window, generator: engine, seed: start };
            let file = if world.is_cheat_over() { bench.honest(1) } else { bench.cheat(cheat) };
            // An unwritable folder shows in the validators' results.
            let _ = world.bucket.place(account, &object_key(&member.hotkey().to_ss58(), start), &file);
        }
        std::thread::sleep(Duration::from_millis(world.block_ms.min(200)));
    }
}
