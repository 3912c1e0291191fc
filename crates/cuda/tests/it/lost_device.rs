//! A device that is lost: in a process of its own, since an error that breaks a context breaks every later one of it.
//! Without a device there is nothing to lose, and the test ends at once.

#[path = "engine/fixtures.rs"]
#[allow(dead_code, reason = "shared with the other tests of the engine")]
mod fixtures;

use std::rc::Rc;
use std::time::Duration;

use grail_engine::cuda::driver::{Device, Grid, Kernels, Queue, Urgency, device_count};
use grail_engine::cuda::{CudaEngine, CudaSettings};

use fixtures::{ask, prompts, streams};

/// Long enough for any of these; only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn a_device_that_this_process_lost_is_told_and_every_group_is_answered() {
    if device_count() == 0 {
        return;
    }
    let engine = CudaEngine::start(CudaSettings::new("rehearsal", 0)).unwrap();
    let prompts = prompts();
    let asked: Vec<_> = (0..12).map(|group| ask(&engine, &prompts[group % 3], streams(group as u32))).collect();
    assert!(!engine.is_lost());
    break_context();
    for (_ticket, answer) in asked {
        // What was done before is kept; the rest is told, so that it is asked for again.
        if let Err(error) = answer.recv_timeout(PATIENCE).unwrap() {
            assert!(error.to_string().contains("device"), "{error}");
        }
    }
    let refused = ask(&engine, &prompts[0], streams(0)).1.recv_timeout(PATIENCE).unwrap();
    assert!(refused.is_err() && engine.is_lost());
}

/// Let a kernel read where no memory is.
fn break_context() {
    let device = Device::open(0).unwrap();
    let kernels = Rc::new(Kernels::load(&device, None).unwrap());
    let queue = Queue::new(&device, kernels, Urgency::Usual).unwrap();
    let nowhere = 0xdead_0000_0000_u64;
    let arguments = [nowhere.into(), nowhere.into(), nowhere.into(), 4u32.into()];
    queue.launch("proof_take_rows", Grid::row(1, 32), &arguments).unwrap();
    assert!(queue.wait().is_err());
}
