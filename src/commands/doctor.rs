//! `grail doctor`.

use std::path::PathBuf;
use std::rc::Rc;

use grail_protocol::PROTOCOL;

use crate::args::{DoctorArguments, Role};
use crate::assembly;
use crate::exit::Exit;
use grail_config::{ConfigParts, MinerConfig, RawConfig};
use grail_observe::contract::Schema;
use grail_operator::doctor::{ConfigProblem, Examination, Limits, Subject, document, examine, page};
use grail_terminal::{may_color, output, printable};
use grail_wallet::{HotkeyWallet, Passwords, WalletError, ask_terminal};

pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<Exit> {
    if arguments.role == Role::Validator {
        return super::validate::doctor(arguments);
    }
    let mut examination = examined(arguments)?;
    if arguments.fix && fixed(&examination) {
        examination = examined(arguments)?;
    }
    match arguments.json {
        true => output::line(Schema::Doctor.stamp(document(&examination))),
        false => output::styled(page(&examination, may_color(&std::io::stdout())).trim_end()),
    }
    let has_failed = examination.failures().next().is_some();
    Ok(if has_failed { Exit::Negative } else { Exit::Success })
}

/// Applies the safe fixes. Returns whether there were any.
fn fixed(examination: &Examination) -> bool {
    let mut is_any = false;
    for fix in examination.fixes() {
        is_any = true;
        match fix.carry_out() {
            Ok(()) => output::aside(format_args!("fixed: {}", printable(&fix.to_string()))),
            Err(error) => output::aside(format_args!("not fixed: {} ({error})", printable(&fix.to_string()))),
        }
    }
    is_any
}

fn examined(arguments: &DoctorArguments) -> anyhow::Result<Examination> {
    match grail_config::load(&grail_config::process_environment(), arguments.env_file.env_file.as_deref()) {
        Err(error) => examination(arguments, None, Err(&ConfigProblem::from(error))),
        Ok(typed) => {
            let config = MinerConfig::from_raw(&typed).map_err(ConfigProblem::from);
            examination(arguments, Some(&typed), config.as_ref())
        }
    }
}

fn examination(
    arguments: &DoctorArguments,
    typed: Option<&RawConfig>,
    meant: Result<&MinerConfig, &ConfigProblem>,
) -> anyhow::Result<Examination> {
    let parts = typed.map(ConfigParts::of);
    let opened = parts.as_ref().and_then(open);
    let environment = grail_config::process_environment();
    let data_folder = arguments.data_dir.clone().or_else(|| grail_config::data_folder(&environment));
    let hub_cache = grail_config::hub_cache(&environment);
    let own_beacon = parts.as_ref().and_then(|parts| parts.beacon.as_ref());
    let beacon = (!arguments.no_drand).then(|| assembly::beacon(own_beacon));
    let block_ms = parts.as_ref().and_then(|parts| parts.chain.as_ref()).map(|chain| chain.block_ms);
    let subject = Subject {
        config: meant,
        parts: parts.as_ref(),
        env_file: typed.and_then(RawConfig::file).map(PathBuf::as_path),
        wallet: opened.as_ref().map(|opened| opened.as_ref().map(Rc::clone)),
        beacon: beacon.as_ref().map(|relays| relays.as_ref().map_err(|error| error as _)),
        device: &arguments.device,
        model: arguments.model.as_deref(),
        hub_cache: hub_cache.as_deref(),
        data_folder: data_folder.as_deref(),
        block_ms: block_ms.unwrap_or(PROTOCOL.block_ms),
        limits: Limits::default(),
    };
    let runtime = super::runtime()?;
    Ok(runtime.block_on(examine(&subject)))
}

fn open(parts: &ConfigParts) -> Option<Result<Rc<HotkeyWallet>, WalletError>> {
    let passwords = Passwords { variables: &parts.wallet_passwords, prompt: Some(&ask_terminal) };
    Some(HotkeyWallet::open(parts.wallet.as_ref()?, &passwords).map(Rc::new))
}
