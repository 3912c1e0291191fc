//! `grail bundle`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use super::output;
use crate::args::BundleArguments;
use crate::exit::Exit;
use grail_config::MinerConfig;
use grail_live::journal::hotkeys;
use grail_operator::bundle::{Bundle, Redactor, Sources};

pub(super) fn run(arguments: &BundleArguments) -> anyhow::Result<Exit> {
    let typed = grail_config::load(&grail_config::process_environment(), arguments.env_file.env_file.as_deref());
    let redactor = typed.as_ref().map(Redactor::of).unwrap_or_default();
    let config = match &typed {
        Ok(typed) => super::config::document(typed, &MinerConfig::from_typed(typed)),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let data_folder = super::why::data_folder(arguments.miner.data_dir.clone())?;
    let known = hotkeys(&data_folder);
    let only = if let [only] = known.as_slice() { Some(only.as_str()) } else { None };
    let bundle = Bundle::of(&Sources {
        window: arguments.window,
        tapes: &arguments.tapes.clone().unwrap_or_else(|| data_folder.join("tapes")),
        data_folder: &data_folder,
        hotkey: arguments.miner.hotkey.as_deref().or(only),
        log: arguments.log.as_deref(),
        config,
        redactor: &redactor,
    })?;
    let out =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("grail-bundle-{}.tar.gz", arguments.window)));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&out);
    file.and_then(|mut file| file.write_all(&bundle.bytes))
        .with_context(|| format!("cannot write {}; give --out a path that can be written", out.display()))?;
    for missing in &bundle.missing {
        eprintln!("not in it: {missing}");
    }
    for (name, bytes) in &bundle.files {
        output::line(format!("{bytes:>10}  {name}"));
    }
    output::line(format!("{} holds no secret of the configuration; replay it with: grail replay {0}", out.display()));
    Ok(Exit::Success)
}
