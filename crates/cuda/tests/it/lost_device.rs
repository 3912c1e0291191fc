//! A lost device. Without a device the test ends at once.

use std::process::Command;
use std::rc::Rc;

use grail_cuda::driver::{Device, Grid, Kernels, Priority, Stream};
use grail_cuda::{CudaEngine, CudaSettings};

use crate::fixtures::{PATIENCE, ask, device, prompts, streams};

/// Set in the process that breaks the device's context.
const OWN_PROCESS: &str = "GRAIL_TEST_OWN_PROCESS";
const NAME: &str = "lost_device::a_lost_device_is_reported_and_every_group_is_answered";

/// Runs in its own process: a broken context breaks every later context of the same process.
#[test]
#[allow(clippy::disallowed_methods, reason = "the variable says only which of its two processes a test runs in")]
fn a_lost_device_is_reported_and_every_group_is_answered() {
    let Some(_device) = device() else { return };
    if std::env::var_os(OWN_PROCESS).is_some() {
        return lose_the_device();
    }
    let mut own = Command::new(std::env::current_exe().unwrap());
    let output = own.args(["--exact", NAME]).env(OWN_PROCESS, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn lose_the_device() {
    let engine = CudaEngine::start(CudaSettings::new("toy", 0)).unwrap();
    let prompts = prompts();
    let asked: Vec<_> = (0..12).map(|group| ask(&engine, &prompts[group % 3], streams(group as u32))).collect();
    assert!(!engine.is_lost());
    break_context();
    for (_ticket, answer) in asked {
        // Finished work is kept; the rest fails, so that it is asked for again.
        if let Err(error) = answer.recv_timeout(PATIENCE).unwrap() {
            assert!(error.to_string().contains("device"), "{error}");
        }
    }
    let refused = ask(&engine, &prompts[0], streams(0)).1.recv_timeout(PATIENCE).unwrap();
    assert!(refused.is_err() && engine.is_lost());
}

/// Makes a kernel read unmapped memory.
fn break_context() {
    let device = Device::open(0).unwrap();
    let kernels = Rc::new(Kernels::load(&device, None).unwrap());
    let stream = Stream::new(&device, kernels, Priority::Normal).unwrap();
    let nowhere = 0xdead_0000_0000_u64;
    let arguments = [nowhere.into(), nowhere.into(), nowhere.into(), 4u32.into()];
    stream.launch("proof_take_rows", Grid::row(1, 32), &arguments).unwrap();
    assert!(stream.synchronize().is_err());
}
