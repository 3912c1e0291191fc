//! `grail version`.

use grail_protocol::PROTOCOL;

use crate::exit::Exit;
use grail_terminal::output;

pub(super) fn run() -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    output::line(format!("grail {version} (protocol of the reference {})", PROTOCOL.reference_release));
    output::line(format!("model {}", PROTOCOL.model_name));
    Ok(Exit::Success)
}
