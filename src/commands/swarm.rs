//! `grail sim swarm`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::output;
use crate::args::swarm::{MergeArguments, SwarmArguments, SwarmCommand};
use crate::exit::Exit;
use crate::swarm::{self, Summary};
use grail_observe::contract::Schema;

pub(super) fn run(arguments: &SwarmArguments) -> anyhow::Result<Exit> {
    if let Some(SwarmCommand::Merge(arguments)) = &arguments.command {
        return merge(arguments);
    }
    let summary = swarm::run(arguments, |line| eprintln!("{line}"))?;
    if !arguments.worker {
        show(&summary, &arguments.dir, arguments.json)?;
    }
    Ok(exit_code(&summary, arguments.require_marks))
}

fn merge(arguments: &MergeArguments) -> anyhow::Result<Exit> {
    let summary = swarm::merge(&arguments.from)?;
    let own = if arguments.from.contains("://") { PathBuf::from(".") } else { PathBuf::from(&arguments.from) };
    show(&summary, arguments.out.as_deref().unwrap_or(&own), arguments.json)?;
    Ok(exit_code(&summary, arguments.require_marks))
}

/// Say what was found, and write it down.
fn show(summary: &Summary, dir: &Path, json: bool) -> anyhow::Result<()> {
    let document = serde_json::to_value(summary).context("plain data has an encoding")?;
    let document = Schema::Swarm.stamp(document).to_string();
    for (name, content) in [("summary.json", document.clone() + "\n"), ("summary.html", summary.html())] {
        let path = dir.join(name);
        let unusable = || format!("cannot write {}; give --out a folder that can be written", path.display());
        std::fs::write(&path, content).with_context(unusable)?;
    }
    output::line(if json { document } else { summary.text() });
    Ok(())
}

fn exit_code(summary: &Summary, require_marks: bool) -> Exit {
    if summary.is_clean(require_marks) { Exit::Success } else { Exit::No }
}
