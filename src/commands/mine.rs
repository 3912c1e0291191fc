//! `grail mine`.

mod parts;
mod signals;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use grail_miner::driver::{Limits, Observer, Ports, run as drive};
use grail_miner::machine::{Machine, MachineConfig};
use grail_miner::ports::{BeaconSchedule, Chain, Clock, Engine, Signer};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::args::MineArguments;
use crate::assembly;
use crate::exit::{Exit, Told};
use grail_config::{Environment, MinerConfig, TypedConfig};
use grail_live::bucket::S3Bucket;
use grail_live::chain::{SetWeights, SubtensorChain};
use grail_live::clock::SystemClock;
use grail_live::instance::{BucketGuard, GuardError, HotkeyLock, HotkeyLockError, InstanceId};
use grail_live::journal::{FileJournal, JournalOptions};
use grail_live::unix_ms;
use grail_observe::control::{Board, Control, EndpointStatus, Identity, Stopping, socket_path};
use grail_observe::health::Health;
use grail_observe::{
    Endpoint, EngineMeter, Log, Metrics, Observers, Progress, Pulse, ReceiptFormat, Receipts, Samples, Sinks,
    UploadProbe, Verbosity, Vitals, Watchdog, start_logging,
};
use grail_operator::doctor::{self, Check, Device, Examination, Status, Subject, examine};
use grail_operator::weights::WeightReading;
use grail_tape::{Header, Recorder, Rotation, TapeFolder};
use grail_terminal::printable;
use grail_wallet::HotkeyWallet;

use self::parts::{Lost, engine, memory_of, model, open_wallet, refuse_cpu_on_public_networks, sampling_seed, spinner};
use self::signals::{restart_signal, stop_signals};

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
const NO_HOME: &str = "no home folder is known; say where the journal may lie with --data-dir";
/// Block times between two looks at what weight validators give: one in each window.
const WEIGHT_BLOCKS: u64 = 30;
/// Block times between two early uploads of a window.
const EARLY_UPLOAD_BLOCKS: u64 = 5;

pub(super) fn run(arguments: &MineArguments, verbose: u8) -> anyhow::Result<Exit> {
    let bars = MultiProgress::new();
    if arguments.json || !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        bars.set_draw_target(ProgressDrawTarget::hidden());
    }
    let environment = grail_config::process_environment();
    let typed = grail_config::load(&environment, arguments.env_file.env_file.as_deref())?;
    let config = MinerConfig::from_typed(&typed)?;
    let mut sinks = Sinks::default();
    let loki = sinks.loki(config.logging.loki.as_ref())?;
    let format = arguments.log_format.unwrap_or(config.logging.format);
    start_logging(Verbosity::of(verbose), format, loki, &bars);
    let ended = mine(arguments, &typed, &environment, &config, &bars, &mut sinks);
    sinks.finish();
    match ended? {
        Ending::Code(code) => Ok(code),
        Ending::Restart => Err(restart()),
    }
}

/// Everything after the log, whose last lines the caller sends.
fn mine(
    arguments: &MineArguments,
    typed: &TypedConfig,
    environment: &Environment,
    config: &MinerConfig,
    bars: &MultiProgress,
    sinks: &mut Sinks,
) -> anyhow::Result<Ending> {
    for notice in &config.notices {
        tracing::warn!("{}", printable(&notice.to_string()));
    }
    refuse_cpu_on_public_networks(arguments.device, config.chain.network)?;
    let data_folder = arguments.data_dir.clone().or_else(|| grail_config::data_folder(environment));
    let data_folder = data_folder.ok_or_else(|| Told::new(Exit::Configuration, NO_HOME))?;
    // Before anything that takes long, since only the operator can mend a port that is taken.
    let metrics_listen = arguments.metrics_listen.or(config.monitoring.prometheus.then_some(METRICS_LISTEN));
    let endpoint = metrics_listen.map(|address| Endpoint::listen(address, arguments.metrics_public)).transpose()?;
    let wallet = Rc::new(open_wallet(config)?);
    let _lock = match HotkeyLock::take(wallet.path()) {
        Err(taken @ HotkeyLockError::Taken { .. }) => return Ok(Ending::Code(refused(&taken))),
        other => other?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|_| {
        Told::new(Exit::Retry, "no asynchronous runtime; the system gives no more file descriptors or threads")
    })?;
    let hub_cache = grail_config::hub_cache(environment);
    let model = model(arguments.device, config, hub_cache.as_deref())?;
    let local = tokio::task::LocalSet::new();
    let examination = local.block_on(&runtime, async {
        let beacon = (!arguments.no_drand).then(|| assembly::beacon(config.beacon.as_ref())).transpose()?;
        let subject = Subject {
            config: Ok(config),
            env_file: typed.file().map(PathBuf::as_path),
            wallet: Some(Ok(wallet.clone())),
            beacon: beacon.as_ref(),
            device: arguments.device,
            devices: &arguments.devices,
            model: None,
            hub_cache: hub_cache.as_deref(),
            data_folder: Some(&data_folder),
            block_ms: config.chain.block_ms,
            limits: doctor::Limits { call_ms: CHECK_MS, model_ms: CHECK_MS, ..doctor::Limits::default() },
        };
        anyhow::Ok(examine(&subject).await)
    })?;
    if let Some(obstacle) = told(&examination) {
        return Ok(Ending::Code(Exit::of_check(obstacle.code)));
    }
    // Last, since a model takes long to load.
    let loading = spinner(bars, "loading the model; kernels are compiled where this card has none yet");
    let cards = if arguments.device == Device::Cuda { arguments.devices.clone() } else { Vec::new() };
    let meter = EngineMeter::new(memory_of(cards));
    let (engine, is_lost) = engine(arguments, &model, &meter.watch())
        .map_err(|error| Told::new(Exit::Configuration, super::one_line(&error)))?;
    loading.finish_and_clear();
    let data_folder = &data_folder;
    let mining = Mining { arguments, config, data_folder, wallet, engine, is_lost, meter, bars, endpoint, sinks };
    local.block_on(&runtime, mining.run())
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
    meter: EngineMeter,
    bars: &'a MultiProgress,
    endpoint: Option<Endpoint>,
    sinks: &'a mut Sinks,
}

impl Mining<'_> {
    async fn run(mut self) -> anyhow::Result<Ending> {
        let stop = stop_signals()?;
        let hangup = restart_signal()?;
        let instance = InstanceId::of(self.data_folder)?;
        let chain = Rc::new(assembly::chain(&self.config.chain, self.wallet.clone())?);
        let bucket = assembly::bucket(&self.config.storage)?;
        let sent = bucket.progress();
        let upload: UploadProbe = Arc::new(move || sent.sent_of());
        let ports = self.ports(chain.clone(), bucket)?;
        let block_ms = self.config.chain.block_ms;
        // Not the miner's own bucket, whose uploads are shown as they progress.
        let bucket = Rc::new(assembly::bucket(&self.config.storage)?);
        let guard = BucketGuard::new(bucket, ports.clock.clone(), self.wallet.address(), instance, block_ms);
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
        let board = self.board(health.vitals(), upload.clone(), chain);
        let mut asked = board.stop();
        // Kept until the miner ends: with it goes the socket.
        let _control = Control::serve(&socket_path(self.data_folder, self.wallet.hotkey()), &board)
            .inspect_err(|error| tracing::warn!("{error}"));
        let mut observers = self.observers(pulse, health, upload)?;
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

    fn ports(&self, chain: Rc<SubtensorChain>, bucket: S3Bucket) -> anyhow::Result<Ports> {
        let journal = FileJournal::open(self.data_folder, self.wallet.hotkey(), JournalOptions::default())?;
        if journal.opened().torn_bytes > 0 {
            tracing::warn!("journal: {} bytes that a crash left unfinished were cut off", journal.opened().torn_bytes);
        }
        Ok(Ports {
            clock: Rc::new(SystemClock::new()),
            chain,
            beacon: Rc::new(assembly::beacon(self.config.beacon.as_ref())?),
            bucket: Rc::new(bucket),
            engine: self.engine.clone(),
            journal: Rc::new(journal),
            signer: self.wallet.clone(),
        })
    }

    fn board(&self, vitals: Arc<Vitals>, upload: UploadProbe, chain: Rc<SubtensorChain>) -> Board {
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
        Board::new(identity, vitals, upload, Box::new(move || chain.endpoints().into_iter().map(standing).collect()))
    }

    fn observers(&mut self, pulse: Pulse, health: Health, upload: UploadProbe) -> anyhow::Result<Observers> {
        let format = if self.arguments.json { ReceiptFormat::Json } else { ReceiptFormat::Text };
        let receipts = Receipts::new(format, self.data_folder, self.bars).with_context(|| {
            format!("cannot write receipts in {}; check that the folder is yours", self.data_folder.display())
        })?;
        let mut observers = Observers(vec![Box::new(pulse), Box::new(Log::default())]);
        let data_folder = Some(self.data_folder.to_owned());
        let (mut metrics, mut exposition) = Metrics::new(health.vitals(), data_folder, self.sinks.dropped());
        if let Some(wandb) = &self.config.monitoring.wandb {
            metrics.offer_rows(self.sinks.wandb(wandb, self.told(), self.data_folder, unix_ms)?);
        }
        exposition.show_engine(self.meter.clone());
        if let Some(endpoint) = self.endpoint.take() {
            tracing::info!("metrics on http://{}/metrics, also /healthz and /readyz", endpoint.address());
            endpoint.serve(exposition)?;
        }
        observers.0.push(Box::new(metrics));
        if !self.config.alerts.is_empty() {
            let (miner, block_ms) = (self.wallet.address(), self.config.chain.block_ms);
            self.sinks.watchtower(&self.config.alerts, miner, block_ms, health.vitals(), self.data_folder)?;
        }
        self.read_weights(health.vitals())?;
        observers.0.push(Box::new(health));
        observers.0.push(Box::new(Samples::new(self.engine.clone())));
        if !self.bars.is_hidden() {
            observers.0.push(Box::new(Progress::new(self.bars, upload)));
        }
        observers.0.push(Box::new(receipts));
        Ok(observers)
    }

    /// What the miner was set to, as a run at Weights & Biases says it. None of it is a secret.
    fn told(&self) -> BTreeMap<String, Value> {
        let told = [
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("network", json!(self.config.chain.network.name())),
            ("netuid", json!(self.config.chain.netuid)),
            ("hotkey", json!(self.wallet.address())),
            ("model", json!(self.config.model_name)),
            ("rollouts_per_problem", json!(self.config.rollouts_per_group)),
            ("safety_blocks", json!(self.config.safety_blocks)),
        ];
        told.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// Read once a window what validators give us, keep it for `grail report`, and tell the watchtower: over a connection of
    /// its own, since nothing of mining waits for the answer.
    fn read_weights(&self, vitals: Arc<Vitals>) -> anyhow::Result<()> {
        let chain = assembly::chain(&self.config.chain, self.wallet.clone())?;
        let (hotkey, folder) = (self.wallet.hotkey(), self.data_folder.to_owned());
        let limit = Duration::from_millis(CHECK_MS);
        let pause = Duration::from_millis(WEIGHT_BLOCKS * self.config.chain.block_ms);
        tokio::task::spawn_local(async move {
            loop {
                let reading = tokio::time::timeout(limit, async {
                    let head = chain.next_head(0).await?;
                    anyhow::Ok((head.number, chain.weights_for(hotkey).await?))
                });
                // What cannot be read now is read in the next window.
                if let Ok(Ok((block, Some(set)))) = reading.await {
                    if let Some(is_weighted) = set.is_weighted() {
                        vitals.weight_read(is_weighted);
                    }
                    let SetWeights { uid, shares } = set;
                    let kept = WeightReading { block, uid, validators: shares }.keep(&folder);
                    let _ =
                        kept.inspect_err(|error| tracing::debug!("the weight of block {block} is not kept: {error}"));
                }
                tokio::time::sleep(pause).await;
            }
        });
        Ok(())
    }

    /// The recorder, unless it was switched off.
    fn recorder(&self, config: &MachineConfig, clock: &dyn Clock) -> anyhow::Result<Option<Box<dyn Observer>>> {
        let path = match &self.arguments.tape {
            Some(off) if off.as_os_str() == "off" => return Ok(None),
            Some(folder) => folder.clone(),
            None => self.data_folder.join("tapes"),
        };
        let folder = TapeFolder { path, bytes_max: TAPE_BYTES_MAX };
        let header = match self.arguments.device {
            Device::Cpu => Header::of(config, "cpu"),
            Device::Cuda => Header::of(config, "cuda").with_numerics(self.arguments.profile.name()),
        };
        let header = header.with_model(&self.config.model_name);
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
