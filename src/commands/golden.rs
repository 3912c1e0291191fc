//! `grail golden`.

use std::process::ExitCode;

use grail_engine::cuda::ProofPlan;

use super::output;
use crate::args::GoldenArguments;
use crate::device::{self, DeviceChoice};
use crate::golden::{DeviceProofs, GoldenRunner};

pub(super) fn run(arguments: &GoldenArguments) -> anyhow::Result<ExitCode> {
    let runner = GoldenRunner::new("fixtures");
    let runner = match arguments.device {
        DeviceChoice::Cpu => runner,
        DeviceChoice::Cuda(ordinal) => {
            let (device, kernels) = device::open(ordinal)?;
            runner.on_device(DeviceProofs::new(device, kernels, ProofPlan::default())?)
        }
    };
    let report = runner.check_directory(&arguments.dir)?;
    output::line(&report);
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
