//! `grail completions` and `grail man`: the command line for shells and `man`.

use anyhow::Context;
use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArguments, ManArguments};
use crate::exit::Exit;
use grail_terminal::output;

pub(super) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "grail", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Success)
}

pub(super) fn man(arguments: &ManArguments) -> anyhow::Result<Exit> {
    let dir = &arguments.dir;
    let write = || {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(Arguments::command(), dir)
    };
    write().with_context(|| format!("cannot write to {}; give a folder that can be written", dir.display()))?;
    Ok(Exit::Success)
}
