//! `cargo xtask golden`: every vector file with how many of its cases agree.

use std::path::Path;

use grail_cuda::ProofPlan;
use grail_golden::{DeviceProofs, GoldenRunner};
use grail_live::device::{self, DeviceChoice};
use grail_terminal::output;

/// Prints the report. Returns whether every compared case agrees.
pub(crate) fn run(root: &Path, directory: Option<&Path>, choice: DeviceChoice) -> anyhow::Result<bool> {
    let mut runner = GoldenRunner::new(root.join("fixtures"));
    if let DeviceChoice::Cuda(ordinal) = choice {
        let (device, kernels) = device::open(ordinal)?;
        runner = runner.on_device(DeviceProofs::new(device, kernels, ProofPlan::default())?);
    }
    let report = match directory {
        Some(directory) => runner.check_directory(directory)?,
        None => runner.check_fixtures()?,
    };
    output::line(&report);
    Ok(report.is_clean())
}
