//! `grail golden`.

use grail_cuda::ProofPlan;

use crate::args::GoldenArguments;
use crate::exit::Exit;
use grail_golden::{DeviceProofs, GoldenRunner};
use grail_live::device::{self, DeviceChoice};
use grail_terminal::output;

pub(super) fn run(arguments: &GoldenArguments) -> anyhow::Result<Exit> {
    let runner = GoldenRunner::new("fixtures");
    let runner = match arguments.device {
        DeviceChoice::Cpu => runner,
        DeviceChoice::Cuda(ordinal) => {
            let (device, kernels) = device::open(ordinal)?;
            runner.on_device(DeviceProofs::new(device, kernels, ProofPlan::default())?)
        }
    };
    let report = match &arguments.dir {
        Some(dir) => runner.check_directory(dir)?,
        None => runner.check_fixtures()?,
    };
    output::line(&report);
    Ok(if report.is_clean() { Exit::Success } else { Exit::Negative })
}
