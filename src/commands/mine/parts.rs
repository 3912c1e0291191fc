//! Parts of a miner before it starts: wallet, model, engine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use grail_cuda::decode::DecodeSettings;
use grail_cuda::{CudaSettings, ProofWatch};
use grail_engine::CpuEngine;
use grail_miner::ports::Engine;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::args::MineArguments;
use crate::assembly::{self, EngineStartError};
use crate::exit::{Exit, ExitError};
use grail_config::{ChainConfig, ConfigParts, Environment, MinerConfig, Network, NetworkDevice, RawConfig};
use grail_cuda::driver::Sensors;
use grail_hub::local_name;
use grail_live::cuda_engine::CudaWorkers;
use grail_live::device::{self, DeviceSet};
use grail_live::engine::CpuWorker;
use grail_observe::{GpuFigures, GpuProbe};
use grail_operator::doctor::{self, Examination, Subject, examine};
use grail_wallet::{HotkeyWallet, Inputs, Passwords, ask_terminal};

/// How often a spinner turns.
const SPIN: Duration = Duration::from_millis(200);
/// How long a server may take to answer a startup check, in milliseconds.
pub(super) const CHECK_MS: u64 = 5_000;
/// Default address for metrics, with the port of OpenTelemetry's exporters.
const METRICS_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
const NO_HOME: &str = "no home folder is known; say where the journal may lie with --data-dir";

/// Returns the miner's data folder.
pub(super) fn data_folder(arguments: &MineArguments, environment: &Environment) -> Result<PathBuf, ExitError> {
    let folder = arguments.data_dir.clone().or_else(|| grail_config::data_folder(environment));
    folder.ok_or_else(|| ExitError::new(Exit::Configuration, NO_HOME))
}

/// Returns the address for metrics; none if they are off.
pub(super) fn metrics_listen(arguments: &MineArguments, config: &MinerConfig) -> Option<SocketAddr> {
    arguments.metrics_listen.or(config.monitoring.prometheus.then_some(METRICS_LISTEN))
}

/// Returns the startup checks, which are those of `grail doctor`.
pub(super) async fn examined(
    arguments: &MineArguments,
    typed: &RawConfig,
    config: &MinerConfig,
    wallet: &Rc<HotkeyWallet>,
    hub_cache: Option<&Path>,
    data_folder: &Path,
) -> anyhow::Result<Examination> {
    let beacon = (!arguments.no_drand).then(|| assembly::beacon(config.beacon.as_ref())).transpose()?;
    let parts = ConfigParts::of(typed);
    let subject = Subject {
        config: Ok(config),
        parts: Some(&parts),
        env_file: typed.file().map(PathBuf::as_path),
        wallet: Some(Ok(wallet.clone())),
        beacon: beacon.as_ref().map(Ok),
        device: &arguments.device,
        model: None,
        hub_cache,
        data_folder: Some(data_folder),
        block_ms: config.chain.block_ms,
        limits: doctor::Limits { call_ms: CHECK_MS, model_ms: CHECK_MS, ..doctor::Limits::default() },
    };
    Ok(examine(&subject).await)
}

/// As [`refuse_device`], for a miner.
pub(super) fn refuse_wrong_device(device: &DeviceSet, chain: &ChainConfig) -> Result<(), ExitError> {
    let why = "validators reject proofs that a CPU computed; use a CUDA GPU, or a custom network";
    refuse_device(*device == DeviceSet::Cpu, chain, why)
}

/// Refuses a CPU on public networks, for the reason `why`, and a kind of device that the network's own configuration does
/// not name. Devices compute other bits, so on the wrong kind every window would be rejected.
pub(in crate::commands) fn refuse_device(is_cpu: bool, chain: &ChainConfig, why: &str) -> Result<(), ExitError> {
    if is_cpu && chain.network != Network::Custom {
        let text = format!("--device cpu on {}: {why}", chain.network.name());
        return Err(ExitError::new(Exit::Configuration, text));
    }
    let device = if is_cpu { NetworkDevice::Cpu } else { NetworkDevice::Cuda };
    let Some(wanted) = chain.device.filter(|wanted| *wanted != device) else { return Ok(()) };
    let (ours, wanted) = (device.name(), wanted.name());
    let text = format!(
        "--device {ours}, and GRAIL_DEVICE says that this network computes with {wanted}: every window would be rejected for \
         its sketches; use --device {wanted}, or start the network with --device {ours}"
    );
    Err(ExitError::new(Exit::Configuration, text))
}

/// Returns a model as an engine takes it: on a CUDA device, one that is not on this machine is downloaded.
pub(super) fn model(device: &DeviceSet, name: &str, hub_cache: Option<&Path>) -> anyhow::Result<String> {
    match (device, grail_config::model_folder(name, hub_cache)) {
        (_, Some(folder)) => Ok(folder.display().to_string()),
        (DeviceSet::Cuda(_), None) => Ok(local_name(name)?),
        (DeviceSet::Cpu, None) => Ok(name.to_owned()),
    }
}

/// Returns the engine, and a check for its loss; `watch` gets the duration of proofs.
pub(super) fn engine(
    arguments: &MineArguments,
    model: &str,
    watch: &dyn Fn(usize) -> ProofWatch,
) -> Result<(Rc<dyn Engine>, Lost), EngineStartError> {
    match &arguments.device {
        DeviceSet::Cuda(ordinals) => {
            let settings = ordinals.iter().map(|&ordinal| CudaSettings {
                decode: DecodeSettings { deterministic: arguments.deterministic, ..DecodeSettings::default() },
                numerics: arguments.numerics,
                kernel_cache: device::kernel_cache(),
                is_decided: Some(grail_verify::is_decided),
                ..CudaSettings::new(model, ordinal)
            });
            let workers = Rc::new(CudaWorkers::start(settings.collect(), watch)?);
            Ok((workers.clone(), Box::new(move || workers.is_lost())))
        }
        DeviceSet::Cpu => {
            let worker = CpuWorker::start_watched(cpu_engine(model)?, watch(0));
            let worker = worker.map_err(EngineStartError::Thread)?;
            Ok((Rc::new(worker), Box::new(|| false)))
        }
    }
}

/// Returns a reader of these CUDA devices' figures.
pub(super) fn probe_of(ordinals: Vec<usize>) -> GpuProbe {
    // Opened each time, because a handle from before a failure no longer answers.
    let ask = |&ordinal: &usize| {
        let (free, total) = grail_cuda::driver::Device::open(ordinal).and_then(|device| device.memory()).ok()?;
        let Sensors { temperature_c, busy_percent } = Sensors::of(ordinal);
        Some(GpuFigures { ordinal, free, total, temperature_c, busy_percent })
    };
    Arc::new(move || ordinals.iter().filter_map(ask).collect())
}

/// Checks that a model can be read, without a device, because another engine may use the device's memory.
pub(super) fn loads(device: &DeviceSet, model: &str) -> anyhow::Result<()> {
    match device {
        DeviceSet::Cuda(_) => drop(grail_cuda::weights::Model::open(model)?),
        DeviceSet::Cpu => drop(cpu_engine(model)?),
    }
    Ok(())
}

fn cpu_engine(model: &str) -> Result<CpuEngine, EngineStartError> {
    if model == "toy" {
        return Ok(CpuEngine::toy()?);
    }
    CpuEngine::from_folder(Path::new(model))
        .map_err(|source| EngineStartError::Folder { model: model.to_owned(), source })
}

/// Returns the hotkey. A password that was typed before is in the inputs; otherwise a person at a terminal is asked for
/// it, if `may_ask`.
pub(super) fn open_wallet(config: &MinerConfig, inputs: &Inputs, may_ask: bool) -> anyhow::Result<HotkeyWallet> {
    let prompt = |path: &Path| match inputs.password(path) {
        Some(typed) => Ok(typed),
        None if !may_ask => Err(io::Error::other("nobody is asked while the miner runs")),
        None => {
            let typed = ask_terminal(path)?;
            inputs.keep_password(path, &typed);
            Ok(typed)
        }
    };
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: Some(&prompt) };
    Ok(HotkeyWallet::open_with(&config.wallet, &passwords, inputs)?)
}

/// Returns something that takes a while, with the time that it took so far.
pub(super) fn spinner(bars: &MultiProgress, what: &'static str) -> ProgressBar {
    let spinner = bars.add(ProgressBar::new_spinner()).with_message(what);
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    spinner.set_style(style.expect("the template is a constant that parses"));
    spinner.enable_steady_tick(SPIN);
    spinner
}

/// Returns whether the engine can no longer work in this process.
pub(super) type Lost = Box<dyn Fn() -> bool>;
