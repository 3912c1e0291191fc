//! What a miner is made of before it starts: wallet, model, engine.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use grail_cuda::decode::DecodeSettings;
use grail_cuda::{CudaSettings, ProofWatch};
use grail_engine::CpuEngine;
use grail_miner::ports::Engine;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::args::MineArguments;
use crate::exit::{Exit, Told};
use grail_config::{MinerConfig, Network};
use grail_hub::local_name;
use grail_live::cuda_engine::CudaWorkers;
use grail_live::device;
use grail_live::engine::CpuWorker;
use grail_observe::{CardMemory, MemoryProbe};
use grail_operator::doctor::Device;
use grail_wallet::{HotkeyWallet, Passwords, ask_terminal};

/// How often a spinner turns.
const SPIN: Duration = Duration::from_millis(200);

/// A proof from a CPU has other bits than the validators' cards, so every window would be rejected.
pub(super) fn refuse_cpu_on_public_networks(device: Device, network: Network) -> Result<(), Told> {
    match (device, network) {
        (Device::Cpu, Network::Finney | Network::Test) => Err(Told::new(
            Exit::Configuration,
            format!(
                "--device cpu on {}: validators reject proofs that a CPU computed; use a CUDA card, or a custom network",
                network.name()
            ),
        )),
        (Device::Cpu, Network::Custom) | (Device::Cuda, _) => Ok(()),
    }
}

/// The model as an engine takes it: on a CUDA device, one that is not on this machine is downloaded.
pub(super) fn model(device: Device, config: &MinerConfig, hub_cache: Option<&Path>) -> anyhow::Result<String> {
    match (device, grail_config::model_folder(&config.model_name, hub_cache)) {
        (_, Some(folder)) => Ok(folder.display().to_string()),
        (Device::Cuda, None) => Ok(local_name(&config.model_name)?),
        (Device::Cpu, None) => Ok(config.model_name.clone()),
    }
}

/// What generates and proves, and whether it is lost to this process; `watch` hears what proofs take.
pub(super) fn engine(
    arguments: &MineArguments,
    model: &str,
    watch: &ProofWatch,
) -> anyhow::Result<(Rc<dyn Engine>, Lost)> {
    match arguments.device {
        Device::Cuda => {
            let settings = arguments.devices.iter().map(|&ordinal| CudaSettings {
                decode: DecodeSettings { deterministic: arguments.deterministic, ..DecodeSettings::default() },
                profile: arguments.profile,
                kernel_cache: device::kernel_cache(),
                ..CudaSettings::new(model, ordinal)
            });
            let workers = Rc::new(CudaWorkers::start(settings.collect(), watch)?);
            Ok((workers.clone(), Box::new(move || workers.is_lost())))
        }
        Device::Cpu => {
            let engine = match model {
                "rehearsal" => CpuEngine::rehearsal()?,
                name => CpuEngine::from_folder(Path::new(name)).with_context(|| {
                    format!("GRAIL_MODEL_NAME is {name:?}; on a CPU set it to a model's folder, or to `rehearsal`")
                })?,
            };
            let worker =
                CpuWorker::start_watched(engine, watch.clone()).context("the engine's thread cannot be started")?;
            Ok((Rc::new(worker), Box::new(|| false)))
        }
    }
}

/// Asks these CUDA devices for their memory.
pub(super) fn memory_of(ordinals: Vec<usize>) -> MemoryProbe {
    // Opened each time: what was kept from before a failure would not answer any more.
    let ask = |&ordinal: &usize| {
        let (free, total) = grail_cuda::driver::Device::open(ordinal).and_then(|device| device.memory()).ok()?;
        Some(CardMemory { ordinal, free, total })
    };
    Arc::new(move || ordinals.iter().filter_map(ask).collect())
}

/// The hotkey; a person at a terminal is asked for its password.
pub(super) fn open_wallet(config: &MinerConfig) -> anyhow::Result<HotkeyWallet> {
    let prompt = |path: &Path| ask_terminal(path);
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: Some(&prompt) };
    Ok(HotkeyWallet::open(&config.wallet, &passwords)?)
}

/// A seed that other miners do not know: nobody can foretell which rollouts this one samples.
pub(super) fn sampling_seed(config: &MinerConfig) -> u64 {
    let secret = config.storage.write.secret.expose_secret();
    let digest: [u8; 32] = Sha256::new().chain_update("grail-sampling-seed").chain_update(secret).finalize().into();
    let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

/// Something that takes a while, with the time that it took so far.
pub(super) fn spinner(bars: &MultiProgress, what: &'static str) -> ProgressBar {
    let spinner = bars.add(ProgressBar::new_spinner()).with_message(what);
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    spinner.set_style(style.expect("the template is a constant that parses"));
    spinner.enable_steady_tick(SPIN);
    spinner
}

/// Says whether the engine cannot work any more in this process.
pub(super) type Lost = Box<dyn Fn() -> bool>;
