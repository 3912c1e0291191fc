//! `grail report`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::output;
use crate::args::ReportArguments;
use crate::assembly;
use crate::exit::Exit;
use crate::outfile::OutFile;
use grail_config::MinerConfig;
use grail_live::journal::hotkeys;
use grail_operator::report::Report;
use grail_operator::weights::readings;
use grail_operator::why::{Receipt, receipts, weight_now};
use grail_terminal::counted;

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<Exit> {
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("grail-report.html"));
    let file = OutFile::open(&out, "--out")?;
    let data_folder = super::why::data_folder(arguments.miner.data_dir.clone())?;
    let all = receipts(&data_folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let chosen: Vec<Receipt> = match arguments.since {
        Some(since) => all.into_iter().filter(|receipt| receipt.ended_at >= now - since.seconds).collect(),
        None => all,
    };
    if chosen.is_empty() {
        bail!("no window is over since then; give a longer --since, or none for all of them");
    }
    let config = grail_config::load(&grail_config::process_environment(), arguments.env_file.env_file.as_deref())
        .map_err(anyhow::Error::from)
        .and_then(|typed| Ok(MinerConfig::from_raw(&typed)?));
    let chain = config.and_then(|config| Ok(assembly::chain_to_ask(&config.chain)?));
    let known = hotkeys(&data_folder);
    let only = if let [only] = known.as_slice() { Some(only.as_str()) } else { None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.context("no asynchronous runtime; the operating system refuses more file descriptors or threads")?;
    let hotkey = arguments.miner.hotkey.as_deref().or(only);
    let weight = runtime.block_on(tokio::task::LocalSet::new().run_until(weight_now(&chain, hotkey)));
    let since = arguments
        .since
        .map_or_else(|| "all that the miner kept".to_owned(), |since| format!("the last {}", since.text()));
    let readings = readings(&data_folder);
    let page = Report { receipts: &chosen, since: &since, weight: &weight, readings: &readings }.page();
    file.write(page.as_bytes())?;
    output::line(format!("{} in {}", counted(chosen.len(), "window"), out.display()));
    Ok(Exit::Success)
}
