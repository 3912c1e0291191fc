//! `grail version`.

use grail_protocol::PROTOCOL;

use super::output;
use crate::exit::Exit;

pub(super) fn run() -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    output::line(format!("grail {version} (protocol of the reference {})", PROTOCOL.reference_release));
    output::line(format!("model {}", PROTOCOL.model_name));
    Ok(Exit::Success)
}
