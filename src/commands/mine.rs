//! `grail mine`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};
use grail_engine::CpuEngine;
use grail_miner::driver::{Limits, Ports, run as drive};
use grail_miner::machine::{Machine, MachineConfig};
use grail_miner::ports::{Engine, Signer};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::args::{Device, MineArguments};
use crate::config::{self, MinerConfig, Network, StorageConfig};
use crate::live::beacon::DrandRelays;
use crate::live::bucket::{AccessKey, Addressing, BucketConfig, S3Bucket};
use crate::live::chain::{ChainSettings, FINNEY_GENESIS, SubtensorChain};
use crate::live::clock::SystemClock;
use crate::live::engine::CpuWorker;
use crate::live::journal::{FileJournal, JournalOptions};
use crate::observe::Lines;
use crate::wallet::{HotkeyWallet, Passwords, ask_terminal};

/// What the shell reports for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

pub(super) fn run(arguments: &MineArguments) -> anyhow::Result<ExitCode> {
    let typed = config::load(&config::process_environment(), arguments.env_file.as_deref())?;
    let miner = MinerConfig::from_typed(&typed)?;
    for notice in &miner.notices {
        eprintln!("note: {notice}");
    }
    refuse_cpu_on_public_networks(arguments, miner.chain.network)?;
    let prompt = |path: &std::path::Path| ask_terminal(path);
    let passwords = Passwords { variables: &miner.wallet_passwords, prompt: Some(&prompt) };
    let wallet = Rc::new(HotkeyWallet::open(&miner.wallet, &passwords)?);
    let folder = data_folder(arguments, typed.home())?;
    let engine = engine(arguments)?;
    eprintln!("mining as {} ({}) on {}", wallet.address(), wallet.name(), miner.chain.network.name());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no asynchronous runtime; the system gives no more file descriptors or threads")?;
    let mined = tokio::task::LocalSet::new().block_on(&runtime, async {
        let ports = ports(arguments, &miner, wallet.clone(), engine, &folder)?;
        let machine = Machine::new(machine_config(arguments, &miner, &*wallet, &*ports.engine)?);
        let mut observer = Lines { verbose: arguments.verbose > 0, json: arguments.json };
        drive(machine, ports, Limits::for_block_ms(block_ms(arguments)), &mut observer, Box::pin(stop())).await;
        anyhow::Ok(())
    });
    mined.map(|()| ExitCode::SUCCESS)
}

/// A proof from a CPU has other bits than the validators' cards, so every window would be rejected.
fn refuse_cpu_on_public_networks(arguments: &MineArguments, network: Network) -> anyhow::Result<()> {
    match (arguments.device, network) {
        (Device::Cpu, Network::Custom) => Ok(()),
        (Device::Cpu, _) => bail!(
            "--device cpu on {}: validators reject proofs that a CPU computed; use a CUDA card, or a custom network",
            network.name()
        ),
        (Device::Cuda, _) => bail!("this build has no CUDA engine yet; use --device cpu on a custom network"),
    }
}

fn engine(arguments: &MineArguments) -> anyhow::Result<Rc<dyn Engine>> {
    let engine = match arguments.model.as_str() {
        "rehearsal" => CpuEngine::rehearsal()?,
        folder => CpuEngine::from_folder(std::path::Path::new(folder))?,
    };
    Ok(Rc::new(CpuWorker::start(engine).context("the engine's thread cannot be started")?))
}

fn data_folder(arguments: &MineArguments, home: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    match (&arguments.data_dir, home) {
        (Some(given), _) => Ok(given.clone()),
        (None, Some(home)) => Ok(home.join(".local/share/grail")),
        (None, None) => Err(anyhow!("no home folder is known; say where the journal may lie with --data-dir")),
    }
}

fn ports(
    arguments: &MineArguments,
    miner: &MinerConfig,
    wallet: Rc<HotkeyWallet>,
    engine: Rc<dyn Engine>,
    folder: &std::path::Path,
) -> anyhow::Result<Ports> {
    let endpoints = miner.chain.endpoints.iter().map(|endpoint| endpoint.expose().to_owned());
    let genesis = (miner.chain.network == Network::Finney).then_some(FINNEY_GENESIS);
    let settings = ChainSettings { genesis, ..ChainSettings::custom(endpoints, miner.chain.netuid) };
    let journal = FileJournal::open(folder, wallet.hotkey(), JournalOptions::default())?;
    if journal.opened().torn_bytes > 0 {
        eprintln!("journal: {} bytes that a crash left unfinished were cut off", journal.opened().torn_bytes);
    }
    let _ = arguments;
    Ok(Ports {
        clock: Rc::new(SystemClock::new()),
        chain: Rc::new(SubtensorChain::new(&settings, wallet.clone())?),
        beacon: Rc::new(DrandRelays::quicknet()?),
        bucket: Rc::new(S3Bucket::new(bucket_config(&miner.storage))?),
        engine,
        journal: Rc::new(journal),
        signer: wallet,
    })
}

fn bucket_config(storage: &StorageConfig) -> BucketConfig {
    let key = |key: &config::AccessKey| AccessKey { id: key.id.clone(), secret: key.secret.clone() };
    let (write_key, read_key) = (key(&storage.write), key(&storage.read));
    let addressing = if storage.force_path_style { Addressing::Path } else { Addressing::VirtualHost };
    let config = BucketConfig::s3(storage.endpoint.expose(), storage.name(), &storage.region, write_key, read_key);
    BucketConfig { addressing, ..config }
}

fn machine_config(
    arguments: &MineArguments,
    miner: &MinerConfig,
    wallet: &HotkeyWallet,
    engine: &dyn Engine,
) -> anyhow::Result<MachineConfig> {
    let credentials = miner.storage.read_credentials()?.to_vec();
    Ok(MachineConfig {
        seed: arguments.seed.unwrap_or_else(|| sampling_seed(miner)),
        use_drand: !arguments.no_drand,
        safety_blocks: miner.safety_blocks,
        groups_in_flight_max: engine.groups_in_flight_max(),
        groups_max: arguments.groups_max,
        block_ms: block_ms(arguments),
        ..MachineConfig::new(wallet.hotkey(), credentials)
    })
}

/// A seed that other miners do not know: nobody can foretell which rollouts this one samples.
fn sampling_seed(miner: &MinerConfig) -> u64 {
    let secret = miner.storage.write.secret.expose_secret();
    let digest: [u8; 32] = Sha256::new().chain_update("grail-sampling-seed").chain_update(secret).finalize().into();
    u64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

fn block_ms(arguments: &MineArguments) -> u64 {
    (arguments.block_time * 1000.0) as u64
}

/// Resolves at the first SIGINT or SIGTERM; the second one ends the process at once.
async fn stop() {
    signal().await;
    eprintln!("stopping: what is clean is uploaded; once more ends at once");
    tokio::task::spawn_local(async {
        signal().await;
        std::process::exit(INTERRUPTED);
    });
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            // Without a handler for SIGTERM, Ctrl-C still stops gracefully.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
