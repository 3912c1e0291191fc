//! `grail golden`, and `cargo xtask golden`.

use std::path::Path;

use grail_cuda::ProofPlan;

use crate::args::GoldenArguments;
use crate::exit::Exit;
use grail_golden::{DeviceProofs, GoldenRunner};
use grail_live::device::{self, DeviceChoice};
use grail_terminal::output;

pub(super) fn run(arguments: &GoldenArguments) -> anyhow::Result<Exit> {
    let is_clean = report(Path::new("fixtures"), arguments.dir.as_deref(), arguments.device)?;
    Ok(if is_clean { Exit::Success } else { Exit::Negative })
}

/// Prints how many cases of each vector file below `dir`, or in the fixtures, agree. Returns whether all that were
/// compared do.
pub fn report(fixtures: &Path, dir: Option<&Path>, choice: DeviceChoice) -> anyhow::Result<bool> {
    let mut runner = GoldenRunner::new(fixtures);
    if let DeviceChoice::Cuda(ordinal) = choice {
        let (device, kernels) = device::open(ordinal)?;
        runner = runner.on_device(DeviceProofs::new(device, kernels, ProofPlan::default())?);
    }
    let report = match dir {
        Some(dir) => runner.check_directory(dir)?,
        None => runner.check_fixtures()?,
    };
    output::line(&report);
    Ok(report.is_clean())
}
