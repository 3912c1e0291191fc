//! `grail diff`.

use std::io::{self, IsTerminal};

use anyhow::Context;
use grail_debugger::diff::{Difference, Review, Ruling, ask, differences, document, kinds, replayed, show};

use super::replay::tapes;
use crate::args::DiffArguments;
use crate::exit::Exit;
use grail_observe::contract::Schema;
use grail_terminal::{counted, output};

pub(super) fn run(arguments: &DiffArguments) -> anyhow::Result<Exit> {
    let mut review = Review::read(&arguments.review)?;
    let this = std::env::current_exe().context("this program's own file cannot be found")?;
    let mut found: Vec<Difference> = Vec::new();
    for tape in tapes(&arguments.tapes)? {
        let [old, new] = [arguments.against.as_path(), &this].map(|program| replayed(program, &tape));
        found.extend(differences(&tape.display().to_string(), &old?, &new?));
    }
    let kinds = kinds(&found);
    let open = |review: &Review| {
        found.iter().filter(|difference| review.ruling(&difference.key) != Some(Ruling::Accepted)).count()
    };
    if arguments.json {
        output::line(Schema::Diff.stamp(document(&kinds, &review)));
    } else {
        kinds.iter().for_each(|kind| show(kind, &review));
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            ask(&kinds, &mut review)?;
            review.write(&arguments.review)?;
        }
        output::line(format!("{}, {} not accepted", counted(found.len(), "differing decision"), open(&review)));
    }
    Ok(if open(&review) == 0 { Exit::Success } else { Exit::Negative })
}
