//! `grail bench`.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::args::BenchArguments;
use crate::exit::Exit;
use grail_bench::compare::{Comparison, configuration};
use grail_bench::{Bench, window};
use grail_folder::bounded;
use grail_hub::local_name;
use grail_live::device::{self, DeviceChoice};
use grail_observe::contract::Schema;
use grail_terminal::output;

pub(super) fn run(arguments: &BenchArguments) -> anyhow::Result<Exit> {
    let DeviceChoice::Cuda(ordinal) = arguments.device else {
        bail!("grail bench measures a CUDA device; give --device cuda, or use cargo bench for the processor");
    };
    // Before the run, whose result would be lost with it.
    let older = arguments.compare.as_deref().map(read).transpose()?;
    let model = local_name(&arguments.model)?;
    let (device, kernels) = device::open(ordinal)?;
    let mut report = Bench::new(device, kernels, &model)?.run(arguments.arrangements, output::line)?;
    if let Some(batches) = arguments.window {
        window::measure(&mut report, &model, ordinal, batches)?;
        window::fixed_shapes(&mut report, &model, ordinal)?;
    }
    if let Some(seconds) = arguments.soak {
        window::soak(&mut report, &model, ordinal, seconds)?;
    }
    let comparison = older
        .map(|older| Comparison::of(&older, report.device(), &report.measurements).context("--compare"))
        .transpose()?;
    if let Some(comparison) = &comparison {
        output::line(comparison);
    }
    if let Some(configuration) = configuration(&report.measurements) {
        output::line(format!("what such a GPU earns: {configuration}"));
    }
    if arguments.json {
        output::line(Schema::Bench.stamp(report.json()));
    }
    let is_slower = comparison.is_some_and(|comparison| comparison.regressions().next().is_some());
    Ok(if is_slower { Exit::Negative } else { Exit::Success })
}

/// Longest output of an earlier run that is read.
const REPORT_BYTES_MAX: usize = 64 << 20;

/// Returns an earlier run's JSON, which is its last line.
fn read(path: &Path) -> anyhow::Result<Value> {
    let unusable = || format!("cannot use {}; give --compare what `grail bench --json` printed", path.display());
    let text = bounded::read_text(path, REPORT_BYTES_MAX).with_context(unusable)?;
    serde_json::from_str(text.trim_end().lines().last().unwrap_or_default()).with_context(unusable)
}
