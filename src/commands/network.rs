//! `grail network`.

use anyhow::anyhow;
use grail_network::{Network, NetworkOptions};
use grail_serve::{Cheat, ServeOptions, Served};

use super::serve::listen_for_signals;
use crate::args::NetworkArguments;
use crate::exit::Exit;
use grail_observe::contract::Schema;
use grail_terminal::output;

pub(super) fn run(arguments: &NetworkArguments) -> anyhow::Result<Exit> {
    let served = Served::start(&options(arguments)?)?;
    listen_for_signals(served.sender.clone())?;
    let (groups_max, windows) = (arguments.groups_max, arguments.windows);
    let mut network = Network::start(NetworkOptions { groups_max, windows, is_quiet: arguments.json }, &served)?;
    let followed = network.follow();
    let ended = network.end();
    followed?;
    ended?;
    let summary = network.summary();
    if arguments.json {
        output::line(Schema::Network.stamp(summary.json()));
    } else {
        summary.lines().iter().for_each(output::line);
    }
    Ok(if summary.is_well() { Exit::Success } else { Exit::Negative })
}

fn options(arguments: &NetworkArguments) -> anyhow::Result<ServeOptions> {
    let cheat = arguments.cheat.as_deref().map(cheat_named).transpose()?;
    Ok(ServeOptions {
        block_ms: (arguments.block_time * 1000.0).round() as u64,
        seed: arguments.seed,
        miners: arguments.miners,
        validators: arguments.validators,
        cheat,
        ..ServeOptions::new(&arguments.dir)
    })
}

fn cheat_named(name: &str) -> anyhow::Result<Cheat> {
    let names: Vec<String> = Cheat::ALL.iter().map(|cheat| format!("{cheat:?}")).collect();
    let found = Cheat::ALL.iter().find(|cheat| format!("{cheat:?}").eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| anyhow!("--cheat {name:?} is no way to cheat; give one of {}", names.join(", ")))
}
