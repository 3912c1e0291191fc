//! `grail init`.

use grail_operator::init::init;

use crate::args::InitArguments;
use crate::exit::Exit;

pub(super) fn run(arguments: &InitArguments) -> anyhow::Result<Exit> {
    init(&arguments.env_file, arguments.network, &arguments.wallets)?;
    Ok(Exit::Success)
}
