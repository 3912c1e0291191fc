//! `grail sim --speed gpu=…`: what a card would earn among rivals, as text, JSON and a page.

use anyhow::anyhow;
use grail_sim::rehearsal::{Card, Rehearsal};

use super::output;
use crate::args::SimArguments;
use crate::exit::Exit;
use crate::outfile::OutFile;
use grail_observe::contract::Schema;
use grail_operator::rehearsal::{object, page, text};

/// Rivals where none are stated.
const RIVALS: u32 = 40;

/// Whether these arguments ask for a rehearsal on paper: a speed with stated speeds, or rivals.
pub(super) fn is_wanted(arguments: &SimArguments) -> bool {
    arguments.rivals.is_some() || arguments.speed.contains('=')
}

pub(super) fn run(arguments: &SimArguments) -> anyhow::Result<Exit> {
    let card = Card::parse(&arguments.speed).map_err(|error| anyhow!("--speed: {error}"))?;
    let file = arguments.html.as_deref().map(|path| OutFile::open(path, "--html")).transpose()?;
    let rehearsal = Rehearsal {
        seed: arguments.seed,
        windows: arguments.windows,
        rivals: arguments.rivals.unwrap_or(RIVALS),
        card,
        safety_blocks: 1,
        policy: arguments.policy.into(),
    };
    let report = rehearsal.report();
    if let Some(file) = file {
        file.write(page(&arguments.speed, &rehearsal, &report).as_bytes())?;
    }
    if arguments.json {
        output::line(Schema::Rehearsal.stamp(object(&arguments.speed, &rehearsal, &report)));
    } else {
        output::line(text(&arguments.speed, &rehearsal, &report));
    }
    Ok(Exit::Success)
}
