//! `grail report`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use crate::args::ReportArguments;
use crate::assembly;
use crate::exit::Exit;
use grail_config::MinerConfig;
use grail_operator::report::Report;
use grail_operator::verdicts::Verdicts;
use grail_operator::weights::readings;
use grail_operator::why::{Receipt, hotkey_in, of_hotkey, receipts, weight_now};
use grail_terminal::{OutFile, counted, output};

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<Exit> {
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("grail-report.html"));
    let file = OutFile::open(&out, "--out")?;
    let data_folder = super::why::data_folder(arguments.miner.data_dir.clone())?;
    if arguments.validator {
        let verdicts = Verdicts::read(&data_folder).context("the validator's receipts cannot be read")?;
        if verdicts.receipts.is_empty() {
            bail!("no validator has judged anything in {}; name its folder with --data-dir", data_folder.display());
        }
        file.write(verdicts.page().as_bytes())?;
        output::line(format!("{} in {}", counted(verdicts.receipts.len(), "verdict"), out.display()));
        return Ok(Exit::Success);
    }
    let all = receipts(&data_folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let hotkey = hotkey_in(&data_folder, arguments.miner.hotkey.as_deref())?;
    let is_recent = |receipt: &Receipt| arguments.since.is_none_or(|since| receipt.ended_at >= now - since.seconds);
    let chosen: Vec<Receipt> = of_hotkey(all, hotkey.as_deref()).into_iter().filter(is_recent).collect();
    if chosen.is_empty() {
        bail!("no window of that hotkey is over since then; give a longer --since, or none for all of them");
    }
    let config = grail_config::load(&grail_config::process_environment(), arguments.env_file.env_file.as_deref())
        .map_err(anyhow::Error::from)
        .and_then(|typed| Ok(MinerConfig::from_raw(&typed)?));
    let chain = config.and_then(|config| Ok(assembly::chain_to_ask(&config.chain)?));
    let runtime = super::runtime()?;
    let hotkey = hotkey.as_deref();
    let weight = runtime.block_on(tokio::task::LocalSet::new().run_until(weight_now(&chain, hotkey)));
    let since = arguments
        .since
        .map_or_else(|| "all that the miner kept".to_owned(), |since| format!("the last {}", since.text()));
    let readings = readings(&data_folder);
    let page = Report { receipts: &chosen, since: &since, weight: &weight, readings: &readings, hotkey }.page();
    file.write(page.as_bytes())?;
    output::line(format!("{} in {}", counted(chosen.len(), "window"), out.display()));
    Ok(Exit::Success)
}
