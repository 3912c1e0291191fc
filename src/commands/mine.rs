//! `grail mine`.

mod messages;
pub(super) mod parts;
mod recording;
mod restart;
mod trial;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use grail_miner::driver::{Limits, Ports, run as drive};
use grail_miner::machine::{Machine, MachineSecrets, MachineSettings};
use grail_miner::ports::{BeaconSchedule, Engine, Signer};
use indicatif::MultiProgress;
use tokio::sync::watch;

use crate::args::MineArguments;
use crate::assembly::{self, EngineStartError};
use crate::exit::{self, Exit, ExitError};
use grail_config::{Environment, MinerConfig, RawConfig};
use grail_folder as folder;
use grail_journal::{FileJournal, JournalFileError};
use grail_live::bucket::S3Bucket;
use grail_live::chain::SubtensorChain;
use grail_live::clock::SystemClock;
use grail_live::instance::{BucketGuard, GuardError, HotkeyLock, HotkeyLockError, InstanceId};
use grail_live::unix_ms;
use grail_observe::control::{Asking, Board, Control, EndpointStatus, Identity, Request, Stopping, socket_path};
use grail_observe::{
    Banner, BannerFacts, EngineMeter, Log, Metrics, MetricsServer, Observers, Progress, Pulse, ReadFrom, ReceiptFormat,
    Receipts, Samples, SharedState, Sinks, StateObserver, UploadProbe, Verbosity, bars, run_settings, start_logging,
    start_watchdog, thresholds,
};
use grail_operator::signals::{Hangups, stop_signals};
use grail_operator::weights::read_weights;
use grail_operator::{dying, pages::pages, runtime};
use grail_terminal::{defect, output, printable};
use grail_wallet::{HotkeyWallet, Inputs};

use self::messages::{describe_device, end_stalled, hotkey_taken, prevented, warn_of_journal};
use self::parts::{
    CHECK_MS, Lost, data_folder, engine, examined, metrics_listen, model, open_wallet, probe_of, refuse_wrong_device,
    spinner,
};
use self::restart::{HandedOver, Present, Program, Ready, proven};

/// Pause between two checks for a lost engine.
const LOSS_CHECK: Duration = Duration::from_secs(1);
/// Block times between two early uploads of a window.
const EARLY_UPLOAD_BLOCKS: u64 = 5;

/// Mines until a signal or an error; `wrap` may wrap the ports.
pub(super) fn run(arguments: &MineArguments, verbose: u8, wrap: &dyn Fn(Ports) -> Ports) -> anyhow::Result<Exit> {
    let hangups = Hangups::listen()?;
    let HandedOver { inputs, before, after_loss } = HandedOver::taken()?;
    let process = Process { inputs, hangups, after_loss, has_begun: Cell::new(false), wrap };
    let ended = catch_unwind(AssertUnwindSafe(|| begin(arguments, verbose, &process)));
    let ended = ended.unwrap_or_else(|_| Err(super::panicked().into()));
    match (ended, before) {
        (Ok(Ending::Restart(ready)), _) => Err(ready.go().into()),
        // It was proven, and fails anyway: a model may not fit, or something has changed since.
        (failed, Some(before)) if !process.has_begun.get() && !matches!(failed, Ok(Ending::Code(Exit::Success))) => {
            let why = failed.err().map_or_else(|| "see above".to_owned(), |error| super::one_line(&error));
            output::aside(format_args!("grail: the miner does not start as it is configured now ({why}); going back"));
            let back = HandedOver { inputs: before, before: None, after_loss };
            Err(back.ready(Program::Present)?.go().into())
        }
        (Ok(Ending::Code(code)), _) => Ok(code),
        (Err(error), _) => Err(error),
    }
}

/// Inputs of a process, and whether it has started to mine.
struct Process<'a> {
    inputs: Inputs,
    hangups: Hangups,
    /// Whether this process replaced one that had lost its devices.
    after_loss: bool,
    /// Whether it has started to mine.
    has_begun: Cell<bool>,
    wrap: &'a dyn Fn(Ports) -> Ports,
}

/// Reads the configuration, start the log, and mine.
fn begin(arguments: &MineArguments, verbose: u8, process: &Process<'_>) -> anyhow::Result<Ending> {
    let bars = bars(!arguments.json);
    if arguments.trial {
        return trial::run(arguments, &bars).map(Ending::Code);
    }
    let environment = grail_config::process_environment();
    let typed = grail_config::load_with(&environment, arguments.env_file.env_file.as_deref(), &process.inputs)?;
    let config = super::meant(&typed)?;
    let mut sinks = Sinks::default();
    let loki = sinks.loki(config.logging.loki.as_ref())?;
    let format = arguments.log_format.unwrap_or(config.logging.format);
    start_logging(Verbosity::of(verbose), format, loki, &bars);
    let ended = mine(arguments, &typed, &environment, &config, &bars, &mut sinks, process);
    sinks.finish();
    ended
}

/// Returns everything after the log, whose last lines the caller sends.
fn mine(
    arguments: &MineArguments,
    typed: &RawConfig,
    environment: &Environment,
    config: &MinerConfig,
    bars: &MultiProgress,
    sinks: &mut Sinks,
    process: &Process<'_>,
) -> anyhow::Result<Ending> {
    for notice in &config.notices {
        tracing::warn!("{}", printable(&notice.to_string()));
    }
    refuse_wrong_device(&arguments.device, &config.chain)?;
    let data_folder = data_folder(arguments, environment)?;
    folder::claim(&data_folder)?;
    // Before anything that takes long, since only the operator can fix a port that is taken.
    let metrics_listen = metrics_listen(arguments, config);
    let endpoint =
        metrics_listen.map(|address| MetricsServer::listen(address, arguments.metrics_public)).transpose()?;
    let wallet = Rc::new(open_wallet(config, &process.inputs, true)?);
    // A miner that answers is not dying.
    let answers = || {
        let status = Asking::find(&data_folder, Some(wallet.address())).and_then(|mut it| it.ask(Request::Status));
        status.is_ok_and(|status| status.stopping == Stopping::No && status.judging.is_none())
    };
    let is_taken = |error: &HotkeyLockError| matches!(error, HotkeyLockError::Taken(_));
    let _lock = match dying::taken(|| HotkeyLock::take(wallet.path()), is_taken, answers) {
        Err(taken) if is_taken(&taken) => return Ok(Ending::Code(hotkey_taken(&taken))),
        other => other?,
    };
    let open = || FileJournal::open(&data_folder, wallet.hotkey());
    let is_locked = |error: &JournalFileError| matches!(error, JournalFileError::Locked { .. });
    let journal = Rc::new(dying::taken(open, is_locked, answers)?);
    warn_of_journal(&journal);
    let runtime = runtime()?;
    let hub_cache = grail_config::hub_cache(environment);
    let model = model(&arguments.device, &config.model_name, hub_cache.as_deref())?;
    let local = tokio::task::LocalSet::new();
    let examination =
        local.block_on(&runtime, examined(arguments, typed, config, &wallet, hub_cache.as_deref(), &data_folder))?;
    examination.log();
    if let Some(exit) = exit::of_examination(&examination) {
        prevented(&examination, exit);
        return Ok(Ending::Code(exit));
    }
    // Last, since a model takes long to load.
    let loading = spinner(bars, "loading the model; kernels are compiled where this GPU has none yet");
    let meter = EngineMeter::new(probe_of(arguments.device.ordinals().to_vec()));
    let failed = |error: EngineStartError| {
        // A device that was lost a moment ago may come back by itself.
        let exit = if process.after_loss { Exit::Retry } else { exit::of_engine(&error) };
        ExitError::new(exit, super::one_line(&error.into()))
    };
    let (engine, is_lost) = engine(arguments, &model, &|ordinal| meter.watch(ordinal)).map_err(failed)?;
    loading.finish_and_clear();
    let mining = Mining {
        arguments,
        config,
        data_folder: &data_folder,
        wallet,
        journal,
        engine,
        is_lost,
        device: describe_device(arguments, &examination),
        meter,
        bars,
        metrics: endpoint.as_ref().map(MetricsServer::address),
        endpoint,
        sinks,
        process,
    };
    local.block_on(&runtime, mining.run())
}

/// How mining ended.
enum Ending {
    /// For good.
    Code(Exit),
    /// To be started again in place.
    Restart(Ready),
}

/// Everything that is known before the first connection.
struct Mining<'a> {
    arguments: &'a MineArguments,
    config: &'a MinerConfig,
    data_folder: &'a Path,
    wallet: Rc<HotkeyWallet>,
    journal: Rc<FileJournal>,
    engine: Rc<dyn Engine>,
    is_lost: Lost,
    /// The device in a line.
    device: String,
    meter: EngineMeter,
    bars: &'a MultiProgress,
    metrics: Option<SocketAddr>,
    endpoint: Option<MetricsServer>,
    sinks: &'a mut Sinks,
    process: &'a Process<'a>,
}

impl Mining<'_> {
    async fn run(mut self) -> anyhow::Result<Ending> {
        defect::end_at_the_next();
        let stopped = stop_signals()?;
        let stop = async {
            stopped.await;
            tracing::warn!("stopping: uploading the clean groups first; a second signal exits at once");
        };
        let instance = InstanceId::of(self.data_folder)?;
        let chain = Rc::new(assembly::chain(&self.config.chain, self.wallet.clone())?);
        let bucket = assembly::bucket(&self.config.storage)?;
        let hotkey = self.wallet.address().to_owned();
        let network = self.config.chain.network.name().to_owned();
        let read_from = ReadFrom { url: bucket.read_url.clone(), hotkey, network };
        let sent = bucket.progress.clone();
        let upload: UploadProbe = Arc::new(move || sent.sent_of());
        let ports = (self.process.wrap)(self.ports(chain.clone(), bucket)?);
        let clock = ports.clock.clone();
        let block_ms = self.config.chain.block_ms;
        // Not the miner's own bucket, whose uploads are shown as they progress.
        let bucket = Rc::new(assembly::guards_bucket(&self.config.storage)?);
        let guard = BucketGuard::new(bucket, ports.clock.clone(), self.wallet.address(), instance, block_ms);
        let mut stop = Box::pin(stop);
        let taken = tokio::select! {
            taken = guard.begin(self.arguments.take_over, dying::watching_another) => taken,
            () = &mut stop => return Ok(Ending::Code(Exit::Success)),
        };
        match taken {
            Ok(()) => {}
            Err(taken @ GuardError::Taken { .. }) => return Ok(Ending::Code(hotkey_taken(&taken))),
            Err(unknown @ GuardError::Unknown(_)) => tracing::warn!("{unknown}"),
        }
        let pulse = Pulse::default();
        let patience = Duration::from_millis(thresholds::STALLED_LOOP_BLOCKS * block_ms).max(Duration::from_secs(60));
        start_watchdog(&pulse, patience, end_stalled).context("the watchdog's thread cannot be started")?;
        let (settings, secrets) = (self.machine_settings(), self.machine_secrets()?);
        let asked = chain.clone();
        let is_connected = move || asked.endpoints().iter().any(|(_, in_use)| *in_use == Some(true));
        let folding = StateObserver::new(block_ms, Box::new(is_connected));
        let board = self.board(folding.state(), upload.clone(), chain);
        let (mut asked, asked_too) = (board.stop(), board.stop());
        // Keeps the control socket open until the miner exits.
        let _control = Control::serve(&socket_path(self.data_folder, self.wallet.hotkey()), board.answers())
            .inspect_err(|error| tracing::warn!("{error}"));
        let made = self.observers(pulse, folding, upload, read_from).and_then(|(observers, receipts)| {
            let recorder = self.recorder(&self.header(&settings, &secrets), &*ports.clock)?;
            Ok((observers, receipts, recorder))
        });
        let (mut observers, receipts, recorder) = match made {
            Ok(made) => made,
            Err(error) => {
                // A miner that does not start keeps no other one from it.
                guard.release().await;
                return Err(error);
            }
        };
        observers.0.push(Box::new(board));
        observers.0.extend(recorder.map(|recorder| Box::new(recorder) as _));
        let machine = Machine::new(settings, secrets);
        tracing::info!(
            "mining as {} ({}) on {}, journal in {}",
            self.wallet.address(),
            self.wallet.name(),
            self.config.chain.network.name(),
            self.data_folder.display()
        );
        self.process.has_begun.set(true);
        let (lose, mut lost) = watch::channel(None);
        let is_asked_to_stop = Rc::new(Cell::new(false));
        let stops = is_asked_to_stop.clone();
        let ended = async move {
            tokio::select! {
                () = stop => {}
                _ = asked.wait_for(|stopping| *stopping == Stopping::Now) => {}
                _ = lost.wait_for(Option::is_some) => {}
            }
            stops.set(true);
        };
        let is_stopping = || is_asked_to_stop.get() || *asked_too.borrow() != Stopping::No;
        let mine = drive(machine, ports, Limits::for_block_ms(block_ms), &mut observers, Box::pin(ended));
        let keep = async {
            let loss = guard.keep().await;
            tracing::error!("{loss}");
            lose.send_replace(Some(()));
            std::future::pending::<()>().await;
        };
        // Dropping the miner here loses no more than killing it, so no clean group.
        let ended = defect::caught(async {
            tokio::select! {
                () = mine => None,
                () = keep => None,
                () = defect::noticed() => None,
                ready = self.reloaded(is_stopping) => Some(Ok(ready)),
                () = self.engine_lost(is_stopping) => {
                    tracing::error!("the engine's devices are lost to this process; starting it again");
                    let inputs = self.process.inputs.whole();
                    Some(HandedOver { inputs, before: None, after_loss: true }.ready(Program::Running))
                }
            }
        });
        if let Some(Some(ready)) = ended.await {
            return Ok(Ending::Restart(ready?));
        }
        if let Some(panicked) = defect::last() {
            tracing::error!("a defect ends the miner: {panicked}");
            receipts.borrow_mut().interrupted(clock.now(), &panicked);
            return Err(super::panicked().into());
        }
        if lose.borrow().is_some() {
            return Ok(Ending::Code(Exit::Unavailable));
        }
        guard.release().await;
        Ok(Ending::Code(Exit::Success))
    }

    fn banner_facts(&self) -> BannerFacts {
        BannerFacts {
            network: self.config.chain.network.name().to_owned(),
            netuid: self.config.chain.netuid,
            hotkey: self.wallet.address().to_owned(),
            wallet: self.wallet.name().to_owned(),
            device: self.device.clone(),
            data_folder: self.data_folder.to_owned(),
            metrics: self.metrics.map(|address| address.to_string()),
        }
    }

    fn ports(&self, chain: Rc<SubtensorChain>, bucket: S3Bucket) -> anyhow::Result<Ports> {
        let block_ms = self.config.chain.block_ms;
        let bucket = assembly::committed_bucket(bucket, &self.config.storage, chain.clone(), block_ms)?;
        Ok(Ports {
            clock: Rc::new(SystemClock::new()),
            chain,
            beacon: Rc::new(assembly::beacon(self.config.beacon.as_ref())?),
            bucket: Rc::new(bucket),
            engine: self.engine.clone(),
            journal: self.journal.clone(),
            signer: self.wallet.clone(),
        })
    }

    /// Resolves after a SIGHUP, once a restart is proven to work and is prepared.
    async fn reloaded(&self, is_stopping: impl Fn() -> bool) -> Ready {
        self.process.hangups.next().await;
        loop {
            let inputs = self.process.inputs.once();
            let present = Present { metrics: self.metrics, hotkey: self.wallet.path().to_owned() };
            let ready = tokio::select! {
                proven = proven(self.arguments, &inputs, present) => proven.and_then(|()| {
                    let before = Some(self.process.inputs.whole());
                    HandedOver { inputs: inputs.whole(), before, after_loss: false }.ready(Program::Present)
                }),
                // Asked again, perhaps because something was corrected: the check that is under way is left behind.
                () = self.process.hangups.next() => continue,
            };
            match ready {
                Ok(_) if is_stopping() => tracing::warn!("SIGHUP has no effect: the miner is stopping"),
                Ok(ready) => {
                    tracing::warn!("starting again in place; what is clean is in the journal");
                    return ready;
                }
                Err(error) => tracing::error!(
                    "not starting again: {}; mining continues with what it started with: correct this, then send SIGHUP again",
                    super::one_line(&error)
                ),
            }
            self.process.hangups.next().await;
        }
    }

    /// Resolves when the engine is lost, unless the clean groups are being uploaded already. An error that breaks a
    /// CUDA context breaks every later one of the process.
    async fn engine_lost(&self, is_stopping: impl Fn() -> bool) {
        while !(self.is_lost)() || is_stopping() {
            tokio::time::sleep(LOSS_CHECK).await;
        }
    }

    fn board(&self, state: SharedState, upload: UploadProbe, chain: Rc<SubtensorChain>) -> Board {
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
        Board::new(
            identity,
            state,
            upload,
            self.meter.clone(),
            Box::new(move || chain.endpoints().into_iter().map(standing).collect()),
        )
    }

    /// Returns all observers, and the receipts, because a defect adds one that the core does not know.
    fn observers(
        &mut self,
        pulse: Pulse,
        folding: StateObserver,
        upload: UploadProbe,
        read_from: ReadFrom,
    ) -> anyhow::Result<(Observers, Rc<RefCell<Receipts>>)> {
        let format = if self.arguments.json { ReceiptFormat::Json } else { ReceiptFormat::Text };
        let receipts =
            Rc::new(RefCell::new(Receipts::new(format, self.data_folder, self.bars, read_from, folding.state())?));
        let state = folding.state();
        // The other observers read the state that this one writes.
        let mut observers = Observers(vec![Box::new(pulse), Box::new(folding), Box::new(Log::default())]);
        let data_folder = Some(self.data_folder.to_owned());
        let (mut metrics, mut exposition) = Metrics::new(state.clone(), data_folder, self.sinks.dropped());
        if let Some(wandb) = &self.config.monitoring.wandb {
            metrics.offer_rows(self.sinks.wandb(
                wandb,
                run_settings(self.config, self.wallet.address()),
                self.data_folder,
                unix_ms,
            )?);
        }
        exposition.show_engine(self.meter.clone());
        if let Some(endpoint) = self.endpoint.take() {
            tracing::info!(
                "metrics on http://{}/metrics, also /healthz and /readyz; report and timeline of today on /",
                endpoint.address()
            );
            let tapes = self.tapes();
            endpoint.serve(exposition, pages(self.data_folder, tapes.as_deref(), self.wallet.address()))?;
        }
        observers.0.push(Box::new(metrics));
        if !self.config.alerts.is_empty() {
            let (miner, block_ms) = (self.wallet.address(), self.config.chain.block_ms);
            self.sinks.watchtower(&self.config.alerts, miner, block_ms, state.clone(), self.data_folder)?;
        }
        let chain = assembly::chain(&self.config.chain, self.wallet.clone())?;
        read_weights(
            chain,
            self.wallet.hotkey(),
            self.data_folder,
            self.config.chain.block_ms,
            Duration::from_millis(CHECK_MS),
            state.clone(),
        );
        if !self.arguments.json {
            let block_ms = self.config.chain.block_ms;
            observers.0.push(Box::new(Banner::new(self.banner_facts(), self.bars, state.clone(), block_ms)));
        }
        observers.0.push(Box::new(Samples::new(self.engine.clone())));
        if !self.bars.is_hidden() {
            observers.0.push(Box::new(Progress::new(self.bars, state, upload)));
        }
        observers.0.push(Box::new(receipts.clone()));
        Ok((observers, receipts))
    }

    fn machine_secrets(&self) -> anyhow::Result<MachineSecrets> {
        let seed = self.arguments.seed.unwrap_or_else(|| self.config.sampling_seed());
        Ok(MachineSecrets { seed, read_credentials: self.config.storage.read_credentials()?.to_vec() })
    }

    fn machine_settings(&self) -> MachineSettings {
        let block_ms = self.config.chain.block_ms;
        MachineSettings {
            use_drand: !self.arguments.no_drand,
            beacon: self.config.beacon.as_ref().map_or(BeaconSchedule::QUICKNET, |beacon| beacon.schedule),
            policy: self.arguments.policy.into(),
            safety_blocks: self.config.safety_blocks,
            groups_in_flight_max: self.engine.groups_in_flight_max(),
            groups_max: self.arguments.groups_max,
            early_upload_ms: Some(EARLY_UPLOAD_BLOCKS * block_ms),
            block_ms,
            ..MachineSettings::new(self.wallet.hotkey())
        }
    }
}
