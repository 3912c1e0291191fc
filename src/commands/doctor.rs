//! `grail doctor`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use grail_protocol::PROTOCOL;

use crate::args::DoctorArguments;
use crate::assembly;
use crate::exit::Exit;
use grail_config::{MinerConfig, RawConfig};
use grail_observe::contract::Schema;
use grail_operator::doctor::{ConfigProblem, Examination, Limits, Subject, document, examine, page};
use grail_terminal::may_color;
use grail_wallet::{HotkeyWallet, Passwords, WalletError, ask_terminal};

pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<Exit> {
    let (typed, config) = load(arguments.env_file.env_file.as_deref());
    let examination = examination(arguments, typed.as_ref(), config.as_ref())?;
    match arguments.json {
        true => super::output::line(Schema::Doctor.stamp(document(&examination))),
        false => super::output::styled(page(&examination, may_color(&std::io::stdout())).trim_end()),
    }
    let has_failed = examination.failures().next().is_some();
    Ok(if has_failed { Exit::Negative } else { Exit::Success })
}

/// What was typed, as far as it can be read, and what it means.
fn load(env_file: Option<&Path>) -> (Option<RawConfig>, Result<MinerConfig, ConfigProblem>) {
    match grail_config::load(&grail_config::process_environment(), env_file) {
        Err(error) => (None, Err(error.into())),
        Ok(typed) => {
            let config = MinerConfig::from_raw(&typed).map_err(ConfigProblem::from);
            (Some(typed), config)
        }
    }
}

fn examination(
    arguments: &DoctorArguments,
    typed: Option<&RawConfig>,
    meant: Result<&MinerConfig, &ConfigProblem>,
) -> anyhow::Result<Examination> {
    let opened = meant.ok().map(open);
    let environment = grail_config::process_environment();
    let data_folder = arguments.data_dir.clone().or_else(|| grail_config::data_folder(&environment));
    let hub_cache = grail_config::hub_cache(&environment);
    let own_beacon = meant.ok().and_then(|config| config.beacon.as_ref());
    let beacon = if arguments.no_drand { None } else { Some(assembly::beacon(own_beacon)?) };
    let subject = Subject {
        config: meant,
        env_file: typed.and_then(RawConfig::file).map(PathBuf::as_path),
        wallet: opened.as_ref().map(|opened| opened.as_ref().map(Rc::clone)),
        beacon: beacon.as_ref(),
        device: &arguments.device,
        model: arguments.model.as_deref(),
        hub_cache: hub_cache.as_deref(),
        data_folder: data_folder.as_deref(),
        block_ms: meant.map_or(PROTOCOL.block_ms, |config| config.chain.block_ms),
        limits: Limits::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.context("no asynchronous runtime; the operating system refuses more file descriptors or threads")?;
    Ok(runtime.block_on(examine(&subject)))
}

fn open(config: &MinerConfig) -> Result<Rc<HotkeyWallet>, WalletError> {
    let prompt = |path: &Path| ask_terminal(path);
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: Some(&prompt) };
    HotkeyWallet::open(&config.wallet, &passwords).map(Rc::new)
}
