//! `grail mine --try`: one window on this machine's device, judged here and not published.

use std::sync::Arc;
use std::time::Instant;

use grail_cuda::ProofWatch;
use grail_live::device::{DeviceChoice, DeviceSet};
use grail_observe::contract::Schema;
use grail_operator::judge::Judging;
use grail_operator::runtime;
use grail_operator::trial::{Trial, made};
use grail_protocol::PROTOCOL;
use grail_terminal::output;
use indicatif::MultiProgress;

use super::parts::{engine, model, spinner};
use crate::args::MineArguments;
use crate::exit::{self, Exit, ExitError};

/// Groups of the window, unless `--groups-max` says otherwise: as many as a validator checks whole.
const GROUPS: u32 = 5;
/// Generates, proves, signs, packs and judges a window under a made-up key and block hash.
pub(super) fn run(arguments: &MineArguments, bars: &MultiProgress) -> anyhow::Result<Exit> {
    // Before the download of a model that nothing could run.
    arguments.device.ordinals().iter().try_for_each(|ordinal| grail_cuda::driver::Device::open(*ordinal).map(drop))?;
    let environment = grail_config::process_environment();
    let hub_cache = grail_config::hub_cache(&environment);
    let named = grail_config::load(&environment, arguments.env_file.env_file.as_deref())?;
    let named = named.get("GRAIL_MODEL_NAME").filter(|setting| setting.won.origin != grail_config::Origin::Default);
    let named = named.map(|setting| grail_config::Redacted::of("GRAIL_MODEL_NAME", &setting.won.value).to_string());
    let named = named.unwrap_or_else(|| default_model(&arguments.device).to_owned());
    let model = model(&arguments.device, &named, hub_cache.as_deref())?;
    let loading = spinner(bars, "loading the model; kernels are compiled where this device has none yet");
    let unwatched = |_| -> ProofWatch { Arc::new(|_, _| {}) };
    let (engine, _) = engine(arguments, &model, &unwatched)
        .map_err(|error| ExitError::new(exit::of_engine(&error), super::super::one_line(&error.into())))?;
    loading.finish_and_clear();
    let working = spinner(bars, "generating and proving one window");
    let began = Instant::now();
    let local = tokio::task::LocalSet::new();
    let (window, sealed) = local.block_on(&runtime()?, made(&*engine, arguments.groups_max.unwrap_or(GROUPS)))?;
    let seconds = began.elapsed().as_secs_f64();
    // The judge loads the model itself, and both may not fit the device.
    drop(engine);
    working.finish_and_clear();
    let checking = spinner(bars, "judging it by the validator's rules");
    let device = arguments.device.ordinals().first().map_or(DeviceChoice::Cpu, |ordinal| DeviceChoice::Cuda(*ordinal));
    let judging = Judging { device, model: &model, numerics: arguments.numerics };
    let trial = Trial::judged(&judging, &window, &sealed, seconds)?;
    checking.finish_and_clear();
    output::line(if arguments.json { Schema::Trial.stamp(trial.json()).to_string() } else { trial.text() });
    Ok(if trial.is_ready() { Exit::Success } else { Exit::Negative })
}

const fn default_model(device: &DeviceSet) -> &'static str {
    match device {
        DeviceSet::Cuda(_) => PROTOCOL.model_name,
        DeviceSet::Cpu => "toy",
    }
}
