//! A whole miner of live adapters against the served world.

use std::rc::Rc;
use std::time::Duration;

use grail::live::clock::SystemClock;
use grail::live::engine::CpuWorker;
use grail::serve::{ServeEvent, World};
use grail_engine::CpuEngine;
use grail_miner::driver::{Limits, Observer, Ports, run};
use grail_miner::machine::{Action, Event, Machine, MachineConfig};
use grail_miner::ports::{Engine, Now};
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::object_key;
use grail_sim::journal::MemoryJournal;

use crate::world::{Rehearsal, beacon, bucket, chain};

const BLOCK_MS: u64 = 300;
const WINDOWS: usize = 2;

/// Says nothing.
struct Quiet;

impl Observer for Quiet {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, _: Now, _: &Action) {}
}

fn mine(world: &World, credentials: Vec<u8>, stop: tokio::sync::oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let engine = CpuWorker::start(CpuEngine::rehearsal().unwrap()).unwrap();
        let keypair = Keypair::from_seed(world.miner_seed());
        let config = MachineConfig {
            groups_in_flight_max: engine.groups_in_flight_max(),
            groups_max: Some(1),
            block_ms: BLOCK_MS,
            ..MachineConfig::new(keypair.hotkey(), credentials)
        };
        let ports = Ports {
            clock: Rc::new(SystemClock::new()),
            chain: Rc::new(chain(world)),
            beacon: Rc::new(beacon(world)),
            bucket: Rc::new(bucket(world)),
            engine: Rc::new(engine),
            journal: Rc::new(MemoryJournal::default()),
            signer: Rc::new(keypair),
        };
        let stopped = Box::pin(async { drop(stop.await) });
        run(Machine::new(config), ports, Limits::for_block_ms(BLOCK_MS), &mut Quiet, stopped).await;
    });
}

#[test]
fn its_windows_are_accepted_and_weights_follow() {
    let rehearsal = Rehearsal::start(BLOCK_MS);
    let (world, config) = (rehearsal.world(), rehearsal.config());
    let credentials = config.storage.read_credentials().unwrap().to_vec();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let verdicts = std::thread::scope(|scope| {
        scope.spawn(|| mine(world, credentials.clone(), stopped));
        let verdicts: Vec<_> = (0..WINDOWS)
            .map_while(|_| match rehearsal.served.next_event(Some(Duration::from_secs(120))) {
                Some(ServeEvent::Judged(verdict)) => Some(verdict),
                _ => None,
            })
            .collect();
        drop(stop);
        verdicts
    });
    assert_eq!(verdicts.len(), WINDOWS, "a window was not judged");
    for verdict in &verdicts {
        assert!(verdict.is_accepted() && verdict.weights_set, "{}", verdict.line());
        let key = object_key(&world.miner().to_ss58(), verdict.judgement.window_start);
        assert!(world.bucket.object(&key).is_some(), "{key}");
    }
    let state = world.chain.state();
    assert_eq!(state.commitment(81, world.miner()).unwrap().bytes, credentials);
    let weights = state.weights(81, world.validator_uid()).unwrap();
    let shares = verdicts.last().map(|verdict| (verdict.judgement.weight * 65535.0).round() as u16).unwrap();
    assert_eq!(weights, [(0, 65535 - shares), (1, shares)]);
}
