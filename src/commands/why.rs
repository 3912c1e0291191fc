//! `grail why`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, anyhow};
use grail_miner::ports::Bucket;
use grail_protocol::constants::window_start;
use grail_validator::{MinerReceipt, Outcome, Report};
use grail_verify::Scope;

use crate::args::WhyArguments;
use crate::assembly;
use crate::exit::{Exit, ExitError};
use grail_config::MinerConfig;
use grail_observe::contract::Schema;
use grail_operator::judge::{Judging, judge};
use grail_operator::verdicts::{Verdicts, lines};
use grail_operator::why::{ConclusionKind, Sources, Why, chosen_window, gather, page, story};
use grail_terminal::output;

pub(super) fn run(arguments: &WhyArguments) -> anyhow::Result<Exit> {
    let data_folder = data_folder(arguments.miner.data_dir.clone())?;
    if let Some(receipt) = judged(arguments, &data_folder)? {
        return Ok(show_judged(arguments, receipt));
    }
    let chosen = chosen_window(arguments.window, arguments.miner.hotkey.as_deref(), &data_folder)?;
    chosen.note.iter().for_each(output::aside);
    let why = find_out(arguments, &data_folder, chosen.window, chosen.hotkey.as_deref())?;
    if arguments.json {
        output::line(Schema::Why.stamp(serde_json::to_value(&why).context("plain data has an encoding")?));
    } else {
        output::line(page(&why));
    }
    Ok(match why.conclusion.kind {
        ConclusionKind::Well => Exit::Success,
        ConclusionKind::Unknown => Exit::Unavailable,
        _ => Exit::Negative,
    })
}

/// Returns the finding of this data folder's validator about the named miner's window.
fn judged(arguments: &WhyArguments, data_folder: &Path) -> anyhow::Result<Option<MinerReceipt>> {
    let (Some(hotkey), Some(block)) = (&arguments.miner.hotkey, arguments.window) else { return Ok(None) };
    let verdicts = Verdicts::read(data_folder).context("the validator's receipts cannot be read")?;
    Ok(verdicts.of_miner(window_start(block), hotkey).cloned())
}

fn show_judged(arguments: &WhyArguments, receipt: MinerReceipt) -> Exit {
    let exit = match receipt.outcome {
        Outcome::Accepted => Exit::Success,
        Outcome::NotJudged | Outcome::NotSelected => Exit::Unavailable,
        _ => Exit::Negative,
    };
    if arguments.json {
        let entry = serde_json::json!({ "kind": "miner", "receipt": receipt });
        output::line(Schema::ValidatorReceipt.stamp(entry));
    } else {
        let all = lines(&Report::Miner(Box::new(receipt.clone())));
        let short = format!("window {}: uid {}: {}", receipt.window_start, receipt.uid, receipt.outcome.name());
        output::line(all.first().unwrap_or(&short));
    }
    exit
}

/// Returns everything that can be found out.
fn find_out(arguments: &WhyArguments, data_folder: &Path, window: u64, hotkey: Option<&str>) -> anyhow::Result<Why> {
    let environment = grail_config::process_environment();
    let config = grail_config::load(&environment, arguments.env_file.env_file.as_deref())
        .map_err(anyhow::Error::from)
        .and_then(|typed| MinerConfig::from_raw(&typed).map_err(|errors| anyhow!(errors.brief())));
    let named = arguments.model.clone().or_else(|| config.as_ref().ok().map(|config| config.model_name.clone()));
    let named = named.unwrap_or_else(|| "toy".to_owned());
    let folder = grail_config::model_folder(&named, grail_config::hub_cache(&environment).as_deref());
    let model = folder.map_or(named, |folder| folder.display().to_string());
    let judging = Judging { device: arguments.device, model: &model, numerics: arguments.numerics };
    let tapes = arguments.tapes.clone().unwrap_or_else(|| data_folder.join("tapes"));
    let sources = Sources {
        data_folder,
        hotkey,
        ports: config.and_then(|config| {
            let bucket: Rc<dyn Bucket> = Rc::new(assembly::bucket(&config.storage)?);
            Ok((bucket, assembly::chain_to_ask(&config.chain)?))
        }),
        judge: &|document, facts| judge(&judging.model()?, document, Scope::Everything, facts),
        story: &|window| story(&tapes, window, hotkey),
    };
    let runtime = super::runtime()?;
    Ok(runtime.block_on(tokio::task::LocalSet::new().run_until(gather(window, &sources))))
}

/// Returns the miner's data folder.
pub(super) fn data_folder(named: Option<PathBuf>) -> Result<PathBuf, ExitError> {
    named.or_else(|| grail_config::data_folder(&grail_config::process_environment())).ok_or_else(|| {
        ExitError::new(Exit::Configuration, "no home folder is known; name the miner's data folder with --data-dir")
    })
}
