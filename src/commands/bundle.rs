//! `grail bundle`.

use std::path::PathBuf;

use anyhow::Context;
use secrecy::ExposeSecret;

use crate::args::BundleArguments;
use crate::exit::{Exit, ExitError};
use grail_config::MinerConfig;
use grail_operator::bundle::{Bundle, Redactor, Sources};
use grail_operator::why::hotkey_in;
use grail_terminal::{OutFile, output, printable};

/// Anyone who mines has set it.
const WRITE_SECRET: &str = "R2_WRITE_SECRET_ACCESS_KEY";

pub(super) fn run(arguments: &BundleArguments) -> anyhow::Result<Exit> {
    let out =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("grail-bundle-{}.tar.gz", arguments.window)));
    let file = OutFile::private(&out, "--out")?;
    let environment = grail_config::process_environment();
    // The configuration lists the secrets. Without it no secret would be found.
    let typed = grail_config::load(&environment, arguments.env_file.env_file.as_deref())
        .context("nothing is packed, since secrets are found by the configuration")?;
    if typed.get(WRITE_SECRET).is_none() {
        let file = typed
            .file()
            .map_or_else(|| "there is no .env here, and the environment".to_owned(), |file| file.display().to_string());
        let text = format!(
            "nothing is packed, since secrets are found by the configuration: {file} holds no {WRITE_SECRET}; name the \
             miner's own .env with --env-file"
        );
        return Err(ExitError::new(Exit::Configuration, text).into());
    }
    let redactor = Redactor::of(&typed, &environment);
    let config = super::config::document(&typed, &MinerConfig::from_raw(&typed));
    let data_folder = super::why::data_folder(arguments.miner.data_dir.clone())?;
    let hotkey = hotkey_in(&data_folder, arguments.miner.hotkey.as_deref())?;
    let bundle = Bundle::of(&Sources {
        window: arguments.window,
        tapes: &arguments.tapes.clone().unwrap_or_else(|| data_folder.join("tapes")),
        data_folder: &data_folder,
        hotkey: hotkey.as_deref(),
        log: arguments.log.as_deref(),
        config,
        account: typed.get("R2_ACCOUNT_ID").map(|account| account.won.value.expose_secret()),
        redactor: &redactor,
    })?;
    file.write(&bundle.bytes)?;
    for missing in &bundle.missing {
        output::aside(format_args!("not in it: {}", printable(missing)));
    }
    for (name, bytes) in &bundle.files {
        output::line(format!("{bytes:>10}  {name}"));
    }
    output::line(format!("{} holds no secret of the configuration; replay it with: grail replay {0}", out.display()));
    Ok(Exit::Success)
}
