//! `grail mine`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use grail_engine::CpuEngine;
use grail_engine::cuda::CudaSettings;
use grail_engine::cuda::decode::DecodeSettings;
use grail_miner::driver::{Limits, Observer, Ports, run as drive};
use grail_miner::machine::{Machine, MachineConfig};
use grail_miner::ports::{BeaconSchedule, Clock, Engine, Signer};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::args::MineArguments;
use crate::config::{self, MinerConfig, Network};
use crate::control::{Board, Control, EndpointStatus, Identity, Stopping, socket_path};
use crate::device;
use crate::doctor::{self, Check, Device, Examination, Status, Subject, examine};
use crate::exit::{Exit, Told};
use crate::hub;
use crate::live::assembly;
use crate::live::chain::SubtensorChain;
use crate::live::clock::SystemClock;
use crate::live::cuda_engine::CudaWorkers;
use crate::live::engine::CpuWorker;
use crate::live::instance::{BucketGuard, GuardError, HotkeyLock, HotkeyLockError, InstanceId};
use crate::live::journal::{FileJournal, JournalOptions};
use crate::observe::health::Health;
use crate::observe::{
    Endpoint, Log, Metrics, Observers, Progress, Pulse, ReceiptFormat, Receipts, Verbosity, Vitals, Watchdog,
    start_logging,
};
use crate::tape::{Header, Recorder, Rotation, TapeFolder};
use crate::terminal::printable;
use crate::wallet::{HotkeyWallet, Passwords, ask_terminal};

/// After so many block times without a single event, the event loop stands still.
const STALLED_BLOCKS: u64 = 20;
/// How often it is looked whether the engine is lost.
const LOSS_CHECK: Duration = Duration::from_secs(1);
/// Older tapes go once all of them together are larger.
const TAPE_BYTES_MAX: u64 = 4 << 30;
/// How long a server may take to answer a startup check, in milliseconds.
const CHECK_MS: u64 = 5_000;
/// Where metrics are served unless another place is asked for: the port that exporters of OpenTelemetry use.
const METRICS_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
/// How often a spinner turns.
const SPIN: Duration = Duration::from_millis(200);
const NO_HOME: &str = "no home folder is known; say where the journal may lie with --data-dir";
/// Block times between two early uploads of a window.
const EARLY_UPLOAD_BLOCKS: u64 = 5;

pub(super) fn run(arguments: &MineArguments, verbose: u8) -> anyhow::Result<Exit> {
    let bars = MultiProgress::new();
    if arguments.json || !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        bars.set_draw_target(ProgressDrawTarget::hidden());
    }
    start_logging(Verbosity::of(verbose), &bars);
    let environment = config::process_environment();
    let typed = config::load(&environment, arguments.env_file.env_file.as_deref())?;
    let config = MinerConfig::from_typed(&typed)?;
    for notice in &config.notices {
        tracing::warn!("{}", printable(&notice.to_string()));
    }
    refuse_cpu_on_public_networks(arguments.device, config.chain.network)?;
    let data_folder = arguments.data_dir.clone().or_else(|| config::data_folder(&environment));
    let data_folder = data_folder.ok_or_else(|| Told::new(Exit::Configuration, NO_HOME))?;
    // Before anything that takes long, since only the operator can mend a port that is taken.
    let metrics_listen = arguments.metrics_listen.or(config.monitoring.prometheus.then_some(METRICS_LISTEN));
    let endpoint = metrics_listen.map(|address| Endpoint::listen(address, arguments.metrics_public)).transpose()?;
    let wallet = Rc::new(open_wallet(&config)?);
    let _lock = match HotkeyLock::take(wallet.path()) {
        Err(taken @ HotkeyLockError::Taken { .. }) => return Ok(refused(&taken)),
        other => other?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|_| {
        Told::new(Exit::Retry, "no asynchronous runtime; the system gives no more file descriptors or threads")
    })?;
    let hub_cache = config::hub_cache(&environment);
    let model = model(arguments.device, &config, hub_cache.as_deref())?;
    let local = tokio::task::LocalSet::new();
    let examination = local.block_on(&runtime, async {
        let beacon = (!arguments.no_drand).then(|| assembly::beacon(config.beacon.as_ref())).transpose()?;
        let subject = Subject {
            config: Ok(&config),
            env_file: typed.file().map(PathBuf::as_path),
            wallet: Some(Ok(wallet.clone())),
            beacon: beacon.as_ref(),
            device: arguments.device,
            model: None,
            hub_cache: hub_cache.as_deref(),
            data_folder: Some(&data_folder),
            block_ms: config.chain.block_ms,
            limits: doctor::Limits { call_ms: CHECK_MS, model_ms: CHECK_MS, ..doctor::Limits::default() },
        };
        anyhow::Ok(examine(&subject).await)
    })?;
    if let Some(obstacle) = told(&examination) {
        return Ok(Exit::of_check(obstacle.code));
    }
    // Last, since a model takes long to load.
    let loading = spinner(&bars, "loading the model; kernels are compiled where this card has none yet");
    let (engine, is_lost) =
        engine(arguments, &model).map_err(|error| Told::new(Exit::Configuration, super::one_line(&error)))?;
    loading.finish_and_clear();
    let (config, data_folder, bars) = (&config, &data_folder, &bars);
    let mining = Mining { arguments, config, data_folder, wallet, engine, is_lost, bars, endpoint };
    match local.block_on(&runtime, mining.run())? {
        Ending::Code(code) => Ok(code),
        Ending::Restart => Err(restart()),
    }
}

/// Something that takes a while, with the time that it took so far.
fn spinner(bars: &MultiProgress, what: &'static str) -> ProgressBar {
    let spinner = bars.add(ProgressBar::new_spinner()).with_message(what);
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    spinner.set_style(style.expect("the template is a constant that parses"));
    spinner.enable_steady_tick(SPIN);
    spinner
}

/// How mining ended.
enum Ending {
    /// For good.
    Code(Exit),
    /// To be begun again by the same program, or by the one that lies in its place now.
    Restart,
}

/// Replace this process by a new one with the same arguments. Locks are released by that; what was clean is in the journal.
/// Returns only if the system refuses.
fn restart() -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_else(|| "grail".into());
    let error = std::process::Command::new(&called).args(arguments).exec();
    anyhow!("cannot start {} again ({error}); start it by hand, nothing clean is lost", called.display())
}

/// Everything that is known before the first connection.
struct Mining<'a> {
    arguments: &'a MineArguments,
    config: &'a MinerConfig,
    data_folder: &'a Path,
    wallet: Rc<HotkeyWallet>,
    engine: Rc<dyn Engine>,
    is_lost: Lost,
    bars: &'a MultiProgress,
    endpoint: Option<Endpoint>,
}

/// Says whether the engine cannot work any more in this process.
type Lost = Box<dyn Fn() -> bool>;

impl Mining<'_> {
    async fn run(mut self) -> anyhow::Result<Ending> {
        let stop = stop_signals()?;
        let hangup = restart_signal()?;
        let instance = InstanceId::of(self.data_folder)?;
        let chain = Rc::new(assembly::chain(&self.config.chain, self.wallet.clone())?);
        let ports = self.ports(chain.clone())?;
        let block_ms = self.config.chain.block_ms;
        let (bucket, clock) = (ports.bucket.clone(), ports.clock.clone());
        let guard = BucketGuard::new(bucket, clock, self.wallet.address(), instance, block_ms);
        match guard.take(self.arguments.take_over).await {
            Ok(()) => {}
            Err(taken @ GuardError::Taken { .. }) => return Ok(Ending::Code(refused(&taken))),
            Err(unknown @ GuardError::Unknown(_)) => tracing::warn!("{unknown}"),
        }
        let pulse = Pulse::default();
        let patience = Duration::from_millis(STALLED_BLOCKS * block_ms).max(Duration::from_secs(60));
        Watchdog::start(&pulse, patience, stalled).context("the watchdog's thread cannot be started")?;
        let config = self.machine_config()?;
        let health = Health::new(block_ms);
        let board = self.board(health.vitals(), chain);
        let mut asked = board.stop();
        // Kept until the miner ends: with it goes the socket.
        let _control = Control::serve(&socket_path(self.data_folder, self.wallet.hotkey()), &board)
            .inspect_err(|error| tracing::warn!("{error}"));
        let mut observers = self.observers(pulse, health)?;
        observers.0.push(Box::new(board));
        observers.0.extend(self.recorder(&config, &*ports.clock)?);
        let machine = Machine::new(config);
        tracing::info!(
            "mining as {} ({}) on {}, journal in {}",
            self.wallet.address(),
            self.wallet.name(),
            self.config.chain.network.name(),
            self.data_folder.display()
        );
        let (lose, mut lost) = watch::channel(None);
        let ended = async move {
            tokio::select! {
                () = stop => {}
                _ = asked.wait_for(|stopping| *stopping == Stopping::Now) => {}
                _ = lost.wait_for(Option::is_some) => {}
            }
        };
        let mine = drive(machine, ports, Limits::for_block_ms(block_ms), &mut observers, Box::pin(ended));
        let keep = async {
            let loss = guard.keep().await;
            tracing::error!("{loss}");
            lose.send_replace(Some(()));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = mine => {}
            () = keep => {}
            // Leaving the miner where it is loses no more than killing it, which is nothing that was clean.
            () = hangup => return Ok(Ending::Restart),
            () = engine_loss(&self.is_lost) => {
                tracing::error!("the engine's devices are lost to this process; starting it again");
                return Ok(Ending::Restart);
            }
        }
        if lose.borrow().is_some() {
            return Ok(Ending::Code(Exit::Elsewhere));
        }
        guard.release().await;
        Ok(Ending::Code(Exit::Success))
    }

    fn ports(&self, chain: Rc<SubtensorChain>) -> anyhow::Result<Ports> {
        let journal = FileJournal::open(self.data_folder, self.wallet.hotkey(), JournalOptions::default())?;
        if journal.opened().torn_bytes > 0 {
            tracing::warn!("journal: {} bytes that a crash left unfinished were cut off", journal.opened().torn_bytes);
        }
        Ok(Ports {
            clock: Rc::new(SystemClock::new()),
            chain,
            beacon: Rc::new(assembly::beacon(self.config.beacon.as_ref())?),
            bucket: Rc::new(assembly::bucket(&self.config.storage)?),
            engine: self.engine.clone(),
            journal: Rc::new(journal),
            signer: self.wallet.clone(),
        })
    }

    fn board(&self, vitals: Arc<Vitals>, chain: Rc<SubtensorChain>) -> Board {
        let identity = Identity {
            hotkey: self.wallet.address().to_owned(),
            wallet: self.wallet.name().to_owned(),
            network: self.config.chain.network.name().to_owned(),
        };
        let standing = |(name, in_use): (String, Option<bool>)| {
            let state = match in_use {
                Some(true) => "connected",
                Some(false) => "failing",
                None => "standby",
            };
            EndpointStatus { kind: "chain".to_owned(), name, state: state.to_owned(), detail: String::new() }
        };
        Board::new(identity, vitals, Box::new(move || chain.endpoints().into_iter().map(standing).collect()))
    }

    fn observers(&mut self, pulse: Pulse, health: Health) -> anyhow::Result<Observers> {
        let format = if self.arguments.json { ReceiptFormat::Json } else { ReceiptFormat::Text };
        let receipts = Receipts::new(format, self.data_folder, self.bars).with_context(|| {
            format!("cannot write receipts in {}; check that the folder is yours", self.data_folder.display())
        })?;
        let mut observers = Observers(vec![Box::new(pulse), Box::new(Log::default())]);
        if let Some(endpoint) = self.endpoint.take() {
            let (metrics, exposition) = Metrics::new(health.vitals(), Some(self.data_folder.to_owned()));
            tracing::info!("metrics on http://{}/metrics, also /healthz and /readyz", endpoint.address());
            endpoint.serve(exposition)?;
            observers.0.push(Box::new(metrics));
        }
        observers.0.push(Box::new(health));
        if !self.bars.is_hidden() {
            observers.0.push(Box::new(Progress::new(self.bars)));
        }
        observers.0.push(Box::new(receipts));
        Ok(observers)
    }

    /// The recorder, unless it was switched off.
    fn recorder(&self, config: &MachineConfig, clock: &dyn Clock) -> anyhow::Result<Option<Box<dyn Observer>>> {
        let path = match &self.arguments.tape {
            Some(off) if off.as_os_str() == "off" => return Ok(None),
            Some(folder) => folder.clone(),
            None => self.data_folder.join("tapes"),
        };
        let engine = match self.arguments.device {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        };
        let folder = TapeFolder { path, bytes_max: TAPE_BYTES_MAX };
        let header = Header::of(config, engine).with_model(&self.config.model_name);
        let recorder = Recorder::begin_rotating(&folder, Rotation::LIVE, &header, clock.now().wall_ms)?;
        tracing::info!("recording to {}", recorder.path().display());
        Ok(Some(Box::new(recorder)))
    }

    fn machine_config(&self) -> anyhow::Result<MachineConfig> {
        let credentials = self.config.storage.read_credentials()?.to_vec();
        let block_ms = self.config.chain.block_ms;
        Ok(MachineConfig {
            seed: self.arguments.seed.unwrap_or_else(|| sampling_seed(self.config)),
            use_drand: !self.arguments.no_drand,
            beacon: self.config.beacon.as_ref().map_or(BeaconSchedule::QUICKNET, |beacon| beacon.schedule),
            policy: self.arguments.policy.into(),
            safety_blocks: self.config.safety_blocks,
            groups_in_flight_max: self.engine.groups_in_flight_max(),
            groups_max: self.arguments.groups_max,
            early_upload_ms: Some(EARLY_UPLOAD_BLOCKS * block_ms),
            block_ms,
            ..MachineConfig::new(self.wallet.hotkey(), credentials)
        })
    }
}

/// Tell what the startup checks found; the first obstacle keeps mining from beginning. What waiting may heal does not.
fn told(examination: &Examination) -> Option<&Check> {
    for check in examination.checks.iter().filter(|check| matches!(check.status, Status::Warning | Status::Failure)) {
        let remedy = check.remedy.as_deref().unwrap_or_default();
        match check.is_obstacle {
            true => tracing::error!("{}: {}: {remedy}", check.code, check.value),
            false => tracing::warn!("{}: {}: {remedy}", check.code, check.value),
        }
    }
    examination.obstacles().next()
}

/// A proof from a CPU has other bits than the validators' cards, so every window would be rejected.
fn refuse_cpu_on_public_networks(device: Device, network: Network) -> Result<(), Told> {
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
fn model(device: Device, config: &MinerConfig, hub_cache: Option<&Path>) -> anyhow::Result<String> {
    match (device, config::model_folder(&config.model_name, hub_cache)) {
        (_, Some(folder)) => Ok(folder.display().to_string()),
        (Device::Cuda, None) => Ok(hub::local_name(&config.model_name)?),
        (Device::Cpu, None) => Ok(config.model_name.clone()),
    }
}

fn engine(arguments: &MineArguments, model: &str) -> anyhow::Result<(Rc<dyn Engine>, Lost)> {
    match arguments.device {
        Device::Cuda => {
            let settings = arguments.devices.iter().map(|&ordinal| CudaSettings {
                decode: DecodeSettings { deterministic: arguments.deterministic, ..DecodeSettings::default() },
                profile: arguments.profile,
                kernel_cache: device::kernel_cache(),
                ..CudaSettings::new(model, ordinal)
            });
            let workers = Rc::new(CudaWorkers::start(settings.collect())?);
            Ok((workers.clone(), Box::new(move || workers.is_lost())))
        }
        Device::Cpu => {
            let engine = match model {
                "rehearsal" => CpuEngine::rehearsal()?,
                name => CpuEngine::from_folder(Path::new(name)).with_context(|| {
                    format!("GRAIL_MODEL_NAME is {name:?}; on a CPU set it to a model's folder, or to `rehearsal`")
                })?,
            };
            let worker = CpuWorker::start(engine).context("the engine's thread cannot be started")?;
            Ok((Rc::new(worker), Box::new(|| false)))
        }
    }
}

fn open_wallet(config: &MinerConfig) -> anyhow::Result<HotkeyWallet> {
    let prompt = |path: &Path| ask_terminal(path);
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: Some(&prompt) };
    Ok(HotkeyWallet::open(&config.wallet, &passwords)?)
}

/// A seed that other miners do not know: nobody can foretell which rollouts this one samples.
fn sampling_seed(config: &MinerConfig) -> u64 {
    let secret = config.storage.write.secret.expose_secret();
    let digest: [u8; 32] = Sha256::new().chain_update("grail-sampling-seed").chain_update(secret).finalize().into();
    let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

fn refused(why: &dyn std::fmt::Display) -> Exit {
    eprintln!("grail: {}", printable(&why.to_string()));
    Exit::Elsewhere
}

fn stalled() {
    eprintln!(
        "grail: nothing happened for {STALLED_BLOCKS} block times, not even an error; ending, to be started again"
    );
    std::process::exit(Exit::Retry.code().into());
}

/// Resolves when the engine is lost. An error that breaks a CUDA context breaks every later one of the process.
async fn engine_loss(is_lost: &Lost) {
    while !is_lost() {
        tokio::time::sleep(LOSS_CHECK).await;
    }
}

/// Resolves at SIGHUP: the operator wants the miner begun anew in place, say by a newer program.
fn restart_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).context("the system gives no signal handler")?;
    Ok(async move {
        hangup.recv().await;
        tracing::warn!("starting again in place; what is clean is in the journal");
    })
}

/// Resolves at the first SIGINT or SIGTERM; the second one ends the process at once.
fn stop_signals() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    let listen = |kind| signal(kind).context("the system gives no signal handler");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    Ok(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::warn!("stopping: what is clean is uploaded first; a second signal ends at once");
        tokio::task::spawn_local(async move {
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(Exit::Interrupted.code().into());
        });
    })
}
