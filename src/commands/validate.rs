//! `grail validate`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context;
use grail_miner::ports::Signer;
use grail_protocol::signature::Hotkey;
use grail_validator::driver::{Limits, Observers, Ports, Reports, run as drive};
use grail_validator::ports::{Chain, WeightsState};
use grail_validator::{Report, Settings, Validator};

use super::mine::parts::refuse_device;
use crate::args::{DoctorArguments, ValidateArguments};
use crate::assembly;
use crate::exit::{Exit, ExitError};
use grail_config::{StorageConfig, ValidatorConfig, publishing_bucket};
use grail_folder as folder;
use grail_journal::ValidatorJournal;
use grail_live::clock::SystemClock;
use grail_live::device::{DeviceChoice, DeviceSet};
use grail_live::validator::{JudgeThread, MinersBuckets, Published, Publisher, ReadFrom};
use grail_observe::contract::Schema;
use grail_observe::control::{Control, Identity, validator_socket_path};
use grail_observe::{MetricsServer, Sinks, Verbosity, bars, start_logging};
use grail_operator::doctor;
use grail_operator::prover::proof_model;
use grail_operator::recording;
use grail_operator::signals::{outlive_hangups, stop_signal};
use grail_operator::validator_board::ValidatorBoard;
use grail_operator::validator_metrics::ValidatorMetrics;
use grail_operator::verdicts::{VerdictLog, pages, tell};
use grail_tape::{self as tape, Header};
use grail_terminal::{may_color, output, printable};
use grail_wallet::{HotkeyWallet, Passwords, ask_terminal};

/// Validates until a signal ends it.
pub(super) fn run(arguments: &ValidateArguments, verbose: u8) -> anyhow::Result<Exit> {
    let environment = grail_config::process_environment();
    let typed = grail_config::load(&environment, arguments.env_file.env_file.as_deref())?;
    let config = ValidatorConfig::from_raw(&typed)?;
    let mut sinks = Sinks::default();
    let loki = sinks.loki(config.logging.loki.as_ref())?;
    let format = arguments.log_format.unwrap_or(config.logging.format);
    start_logging(Verbosity::of(verbose), format, loki, &bars(false));
    let bucket = if arguments.publish { Some(publishing_bucket(&typed)?) } else { None };
    let ended = validate(arguments, &config, bucket.as_ref(), &environment);
    sinks.finish();
    ended
}

fn validate(
    arguments: &ValidateArguments,
    config: &ValidatorConfig,
    bucket: Option<&StorageConfig>,
    environment: &grail_config::Environment,
) -> anyhow::Result<Exit> {
    for notice in &config.notices {
        tracing::warn!("{}", printable(&notice.to_string()));
    }
    if let Some(only) = &arguments.only {
        Hotkey::from_ss58(only).context("--only")?;
    }
    let why = "a CPU rejects proofs that GPUs computed; use --device cuda, or a custom network";
    refuse_device(arguments.device == DeviceChoice::Cpu, &config.chain, why)?;
    let data_folder = arguments.data_dir.clone().or_else(|| grail_config::data_folder(environment));
    let data_folder = data_folder
        .ok_or_else(|| ExitError::new(Exit::Configuration, "no home folder is known; give --data-dir a folder"))?;
    folder::claim(&data_folder)?;
    let endpoint = arguments.metrics_listen.map(|address| MetricsServer::listen(address, arguments.metrics_public));
    let endpoint = endpoint.transpose()?;
    let wallet = Rc::new(open(config)?);
    let journal = Rc::new(ValidatorJournal::open(&data_folder, wallet.hotkey())?);
    if let Some(aside) = journal.set_aside() {
        tracing::warn!("the journal was damaged and is in {} now; history starts again", aside.display());
    }
    let verdicts = VerdictLog::open(&data_folder)?;
    let runtime = grail_operator::runtime()?;
    let chain = Rc::new(assembly::chain(&config.chain, wallet.clone())?);
    let local = tokio::task::LocalSet::new();
    let examined = local.block_on(&runtime, async {
        let limit = std::time::Duration::from_millis(Limits::for_block_ms(config.chain.block_ms).chain_read_ms);
        tokio::time::timeout(4 * limit, Chain::weights(&*chain)).await
    });
    match examined {
        Ok(Ok(state)) => refuse(&state, arguments, wallet.address())?,
        Ok(Err(error)) => tracing::warn!("{error}"),
        Err(_) => tracing::warn!("no chain endpoint answers yet; the validator waits for one"),
    }
    let publisher = bucket.map(publisher).transpose()?;
    let judge = judge_thread(arguments, config, wallet.address())?;
    let judge = judge.publishing(publisher.as_ref().map(Publisher::collector));
    let settings = Settings {
        use_drand: !arguments.no_drand,
        beacon: config.beacon.as_ref().map_or(grail_validator::ports::BeaconSchedule::QUICKNET, |it| it.schedule),
        block_ms: config.chain.block_ms,
        weights_blocks: arguments.weights_blocks,
        // Weights from only one miner's windows would be wrong.
        dry_run: arguments.dry_run || arguments.only.is_some(),
        only: arguments.only.clone(),
        strict_time: arguments.strict_time,
        ..Settings::new(wallet.address().to_owned(), judge.limits)
    };
    let limits = Limits::for_block_ms(config.chain.block_ms);
    let from = match &config.buckets {
        Some(server) => ReadFrom::Server { endpoint: server.expose().to_owned(), region: config.region.clone() },
        None => ReadFrom::R2,
    };
    let ports = Ports {
        clock: Rc::new(SystemClock::new()),
        chain,
        beacon: Rc::new(assembly::beacon(config.beacon.as_ref())?),
        store: Rc::new(MinersBuckets::new(from, limits.fetch_ms)?),
        recompute: Rc::new(judge),
        journal,
    };
    tracing::info!(
        "validating as {} ({}) on {}, journal in {}{}",
        wallet.address(),
        wallet.name(),
        config.chain.network.name(),
        data_folder.display(),
        if settings.dry_run { "; weights are not set" } else { "" }
    );
    let header = header(&settings, arguments, config);
    let tapes = data_folder.join("validator-tapes");
    let recorder = recording::start(arguments.tape.as_deref(), tapes, &header, ports.clock.now().wall_ms)?;
    let verdicts = RefCell::new(verdicts);
    let metrics = ValidatorMetrics::new(arguments.metrics_file.as_deref(), config.chain.block_ms);
    let board = ValidatorBoard::new(
        Identity {
            hotkey: wallet.address().to_owned(),
            wallet: wallet.name().to_owned(),
            network: config.chain.network.name().to_owned(),
        },
        metrics.clone(),
    );
    // Keeps the control socket open until the validator exits.
    let _control = Control::serve(&validator_socket_path(&data_folder, wallet.hotkey()), board.clone())
        .inspect_err(|error| tracing::warn!("{error}"));
    if let Some(endpoint) = endpoint {
        tracing::info!("metrics on http://{}/metrics, also /healthz and /readyz; verdicts on /", endpoint.address());
        endpoint.serve(metrics.clone(), pages(data_folder))?;
    }
    local.block_on(&runtime, async {
        let signal = stop_signal()?;
        outlive_hangups()?;
        let stop = async move {
            tokio::select! {
                () = signal => {}
                () = board.stopped() => {}
            }
            tracing::warn!("stopping: a window that is not judged yet is judged after the next start");
        };
        let on_report = Reports(|report: &Report| {
            tell(report, arguments.json, &mut verdicts.borrow_mut());
        });
        let mut observers = Observers(vec![Box::new(metrics), Box::new(on_report)]);
        observers.0.extend(publisher.map(|publisher| Box::new(publisher) as _));
        observers.0.extend(recorder.map(|recorder| Box::new(recorder) as _));
        drive(Validator::new(settings), ports, limits, &mut observers, Box::pin(stop)).await;
        anyhow::Ok(Exit::Success)
    })
}

/// Returns the header of the validator's tape.
fn header(settings: &Settings, arguments: &ValidateArguments, config: &ValidatorConfig) -> Header<tape::Validator> {
    let engine = if arguments.device == DeviceChoice::Cpu { "cpu" } else { "cuda" };
    let header = Header::of_validator(settings, engine).with_model(&config.model_name);
    if engine == "cuda" { header.with_numerics(arguments.numerics.name()) } else { header }
}

/// `grail doctor --role validator`.
pub(super) fn doctor(arguments: &DoctorArguments) -> anyhow::Result<Exit> {
    let environment = grail_config::process_environment();
    let raw = grail_config::load(&environment, arguments.env_file.env_file.as_deref())?;
    let config = ValidatorConfig::from_raw(&raw)?;
    let wallet = Rc::new(open(&config)?);
    let chain = assembly::chain(&config.chain, wallet)?;
    let device = match &arguments.device {
        DeviceSet::Cpu => DeviceChoice::Cpu,
        DeviceSet::Cuda(ordinals) => DeviceChoice::Cuda(ordinals.first().copied().unwrap_or(0)),
    };
    let name = arguments.model.clone().unwrap_or_else(|| config.model_name.clone());
    let folder = grail_config::model_folder(&name, grail_config::hub_cache(&environment).as_deref());
    let model = folder.map_or_else(|| name.clone(), |folder| folder.display().to_string());
    let loaded = proof_model(device, &model, grail_cuda::TorchNumerics::default());
    let loaded = loaded.map(|_| format!("{name} is loaded"));
    let runtime = grail_operator::runtime()?;
    let local = tokio::task::LocalSet::new();
    let limits = doctor::Limits::default();
    let examined = doctor::examine_validator(&chain, grail_validator::WEIGHTS_BLOCKS, &limits, loaded);
    let examination = local.block_on(&runtime, examined);
    match arguments.json {
        true => output::line(Schema::Doctor.stamp(doctor::document(&examination))),
        false => output::styled(doctor::lines(&examination, may_color(&std::io::stdout())).trim_end()),
    }
    Ok(if examination.failures().next().is_some() { Exit::Negative } else { Exit::Success })
}

/// Refuses problems that waiting cannot fix.
fn refuse(state: &WeightsState, arguments: &ValidateArguments, address: &str) -> Result<(), ExitError> {
    if arguments.dry_run || arguments.only.is_some() {
        return Ok(());
    }
    if state.uid.is_none() {
        let text = format!("{address} has no uid on the subnet; register it, or watch with --dry-run");
        return Err(ExitError::new(Exit::NotRegistered, text));
    }
    if state.commit_reveal {
        let text = "the subnet only takes weights that are revealed later (CommitRevealWeightsEnabled); let its owner \
                    switch that off with `btcli sudo set --param commit_reveal_weights_enabled --value false`, or watch \
                    with --dry-run";
        return Err(ExitError::new(Exit::Configuration, text));
    }
    Ok(())
}

fn open(config: &ValidatorConfig) -> anyhow::Result<HotkeyWallet> {
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: Some(&ask_terminal) };
    Ok(HotkeyWallet::open(&config.wallet, &passwords)?)
}

fn judge_thread(arguments: &ValidateArguments, config: &ValidatorConfig, address: &str) -> anyhow::Result<JudgeThread> {
    let (device, numerics) = (arguments.device, arguments.numerics);
    let hub_cache = grail_config::hub_cache(&grail_config::process_environment());
    let folder: Option<PathBuf> = grail_config::model_folder(&config.model_name, hub_cache.as_deref());
    let model = folder.map_or_else(|| config.model_name.clone(), |folder| folder.display().to_string());
    JudgeThread::start::<anyhow::Error>(address.to_owned(), move || {
        proof_model(device, &model, numerics)
            .context("GRAIL_MODEL_NAME cannot be used; on a CPU set it to a model's folder, or to `toy`")
    })
}

fn publisher(bucket: &StorageConfig) -> anyhow::Result<Publisher> {
    let tell = |published: Published| match published.is_well() {
        true => tracing::info!("{published}"),
        false => tracing::warn!("{published}"),
    };
    Ok(Publisher::start(assembly::bucket_config(bucket)?, tell)?)
}
