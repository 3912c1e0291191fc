//! `grail doctor`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context;

use crate::args::DoctorArguments;
use crate::config::{self, MinerConfig, TypedConfig};
use crate::doctor::{ConfigProblem, Examination, Limits, Subject, document, examine, page};
use crate::live::beacon::DrandRelays;
use crate::wallet::{HotkeyWallet, Passwords, WalletError, ask_terminal};

pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    let (typed, config) = load(arguments.env_file.env_file.as_deref());
    let examination = examination(arguments, typed.as_ref(), config.as_ref())?;
    match arguments.json {
        true => super::output::line(document(&examination)),
        false => super::output::line(page(&examination, is_in_colour()).trim_end()),
    }
    let has_failed = examination.failures().next().is_some();
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was typed, as far as it can be read, and what it means.
fn load(env_file: Option<&Path>) -> (Option<TypedConfig>, Result<MinerConfig, ConfigProblem>) {
    match config::load(&config::process_environment(), env_file) {
        Err(error) => (None, Err(error.into())),
        Ok(typed) => {
            let config = MinerConfig::from_typed(&typed).map_err(ConfigProblem::from);
            (Some(typed), config)
        }
    }
}

fn examination(
    arguments: &DoctorArguments,
    typed: Option<&TypedConfig>,
    config: Result<&MinerConfig, &ConfigProblem>,
) -> anyhow::Result<Examination> {
    let opened = config.ok().map(open);
    let home = variable("HOME");
    let data_folder = arguments.data_dir.clone().or_else(|| Some(home.as_ref()?.join(".local/share/grail")));
    let hub_cache = hub_cache(home.as_deref());
    let beacon = if arguments.no_drand { None } else { Some(DrandRelays::quicknet()?) };
    let subject = Subject {
        config,
        env_file: typed.and_then(TypedConfig::file).map(PathBuf::as_path),
        wallet: opened.as_ref().map(|opened| opened.as_ref().map(Rc::clone)),
        beacon: beacon.as_ref(),
        device: arguments.device,
        model: arguments.model.as_deref(),
        hub_cache: hub_cache.as_deref(),
        data_folder: data_folder.as_deref(),
        block_ms: grail_protocol::PROTOCOL.block_ms,
        limits: Limits::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no asynchronous runtime; the system gives no more file descriptors or threads")?;
    Ok(runtime.block_on(examine(&subject)))
}

fn open(config: &MinerConfig) -> Result<Rc<HotkeyWallet>, WalletError> {
    let prompt = |path: &Path| ask_terminal(path);
    let passwords = Passwords { variables: &config.wallet_passwords, prompt: Some(&prompt) };
    HotkeyWallet::open(&config.wallet, &passwords).map(Rc::new)
}

/// Where Python's hub client keeps models, by its own variables.
fn hub_cache(home: Option<&Path>) -> Option<PathBuf> {
    let from_home = || Some(variable("HF_HOME").or_else(|| Some(home?.join(".cache/huggingface")))?.join("hub"));
    variable("HF_HUB_CACHE").or_else(from_home)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Colour is for people, unless they do not want it: <https://no-color.org>.
fn is_in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
