//! `grail why`.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context;
use grail_miner::ports::Bucket;
use grail_verify::Scope;

use super::output;
use crate::args::WhyArguments;
use crate::assembly;
use crate::exit::{Exit, ExitError};
use grail_config::MinerConfig;
use grail_observe::contract::Schema;
use grail_operator::judge::{Judging, judge};
use grail_operator::why::{ConclusionKind, Sources, Why, gather, page};

pub(super) fn run(arguments: &WhyArguments) -> anyhow::Result<Exit> {
    let why = find_out(arguments)?;
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

/// Everything that can be found out.
fn find_out(arguments: &WhyArguments) -> anyhow::Result<Why> {
    let environment = grail_config::process_environment();
    let config = grail_config::load(&environment, arguments.env_file.env_file.as_deref())
        .map_err(anyhow::Error::from)
        .and_then(|typed| Ok(MinerConfig::from_raw(&typed)?));
    let data_folder = data_folder(arguments.miner.data_dir.clone())?;
    let named = arguments.model.clone().or_else(|| config.as_ref().ok().map(|config| config.model_name.clone()));
    let named = named.unwrap_or_else(|| "toy".to_owned());
    let folder = grail_config::model_folder(&named, grail_config::hub_cache(&environment).as_deref());
    let model = folder.map_or(named, |folder| folder.display().to_string());
    let judging = Judging { device: arguments.device, model: &model, numerics: arguments.numerics };
    let sources = Sources {
        data_folder: &data_folder,
        hotkey: arguments.miner.hotkey.as_deref(),
        ports: config.and_then(|config| {
            let bucket: Rc<dyn Bucket> = Rc::new(assembly::bucket(&config.storage)?);
            Ok((bucket, assembly::chain_to_ask(&config.chain)?))
        }),
        judge: &|document, facts| judge(document, &judging, Scope::Everything, facts),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.context("no asynchronous runtime; the operating system refuses more file descriptors or threads")?;
    Ok(runtime.block_on(tokio::task::LocalSet::new().run_until(gather(arguments.window, &sources))))
}

/// The miner's data folder.
pub(super) fn data_folder(named: Option<PathBuf>) -> Result<PathBuf, ExitError> {
    named.or_else(|| grail_config::data_folder(&grail_config::process_environment())).ok_or_else(|| {
        ExitError::new(Exit::Configuration, "no home folder is known; name the miner's data folder with --data-dir")
    })
}
