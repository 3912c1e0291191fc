//! `grail version`.

use std::process::ExitCode;

use grail_protocol::PROTOCOL;

use super::output;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    output::line(format!("grail {version} (protocol of the reference {})", PROTOCOL.reference_release));
    output::line(format!("model {}", PROTOCOL.model_name));
    Ok(ExitCode::SUCCESS)
}
