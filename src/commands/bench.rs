//! `grail bench`.

use anyhow::bail;

use super::output;
use crate::args::BenchArguments;
use crate::bench::{Bench, window};
use crate::contract::Schema;
use crate::device::{self, DeviceChoice};
use crate::exit::Exit;
use crate::hub;

pub(super) fn run(arguments: &BenchArguments) -> anyhow::Result<Exit> {
    let DeviceChoice::Cuda(ordinal) = arguments.device else {
        bail!("grail bench measures a CUDA device; give --device cuda, or use cargo bench for the processor");
    };
    let model = hub::local_name(&arguments.model)?;
    let (device, kernels) = device::open(ordinal)?;
    let mut report = Bench::new(device, kernels, &model)?.run(arguments.arrangements)?;
    if let Some(batches) = arguments.window {
        window::measure(&mut report, &model, ordinal, batches)?;
        window::fixed_shapes(&mut report, &model, ordinal)?;
    }
    if let Some(seconds) = arguments.soak {
        window::soak(&mut report, &model, ordinal, seconds)?;
    }
    output::line(&report);
    if arguments.json {
        output::line(Schema::Bench.stamp(report.json()));
    }
    Ok(Exit::Success)
}
