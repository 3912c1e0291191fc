//! `grail top`.

use std::io::IsTerminal;

use anyhow::{Context, anyhow, bail};

use super::{output, stop};
use crate::args::TopArguments;
use crate::exit::Exit;
use grail_observe::control::{ProcessStatus, Request};
use grail_operator::top::watch;
use grail_operator::verdicts::Verdicts;
use grail_operator::why::story_lines;

pub(super) fn run(arguments: &TopArguments) -> anyhow::Result<Exit> {
    let mut asking = stop::find(&arguments.miner)?;
    if arguments.json {
        let status = asking.ask(Request::Status)?;
        output::line(serde_json::to_string(&status).context("plain data has an encoding")?);
        return Ok(Exit::Success);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        bail!("grail top needs a terminal for input and output; run it in one, or use --json");
    }
    let data_folder = super::why::data_folder(arguments.miner.data_dir.clone())?;
    let story = |window, status: &ProcessStatus| match status.judging {
        None => story_lines(&data_folder.join("tapes"), window, &status.hotkey),
        Some(_) => match Verdicts::read(&data_folder) {
            Ok(verdicts) => verdicts.story(window),
            Err(error) => vec![format!("the verdicts cannot be read ({error})")],
        },
    };
    watch(asking, &story).map_err(|error| anyhow!("the terminal cannot be used ({error}); use --json"))?;
    Ok(Exit::Success)
}
