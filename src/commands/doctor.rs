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
    let typed = config::load(&config::process_environment(), arguments.env_file.env_file.as_deref());
    let typed = typed.map_err(ConfigProblem::from);
    let meant = typed.as_ref().map_err(|_| ()).map(|typed| MinerConfig::from_typed(typed).map_err(ConfigProblem::from));
    let config = match (&typed, &meant) {
        (Err(problem), _) | (_, Ok(Err(problem))) => Err(problem),
        (_, Ok(Ok(config))) => Ok(config),
        (Ok(_), Err(())) => unreachable!("what was typed was read"),
    };
    let examination = examination(arguments, typed.as_ref().ok(), config)?;
    match arguments.json {
        true => super::output::line(document(&examination)),
        false => super::output::line(page(&examination, is_in_colour()).trim_end()),
    }
    let has_failed = examination.failures().next().is_some();
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn examination(
    arguments: &DoctorArguments,
    typed: Option<&TypedConfig>,
    config: Result<&MinerConfig, &ConfigProblem>,
) -> anyhow::Result<Examination> {
    let opened = config.ok().map(open);
    let home = typed.and_then(TypedConfig::home);
    let data_folder = arguments.data_dir.clone().or_else(|| Some(home?.join(".local/share/grail")));
    let hub_cache = hub_cache(home);
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
fn hub_cache(home: Option<&PathBuf>) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let from_home = || Some(variable("HF_HOME").or_else(|| Some(home?.join(".cache/huggingface")))?.join("hub"));
    variable("HF_HUB_CACHE").or_else(from_home)
}

/// Colour is for people, unless they do not want it: <https://no-color.org>.
fn is_in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
