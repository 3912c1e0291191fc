//! `grail version`.

use std::process::ExitCode;

use grail_protocol::PROTOCOL;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    println!("grail {} (protocol of the reference {})", env!("CARGO_PKG_VERSION"), PROTOCOL.reference_release);
    println!("model {}", PROTOCOL.model_name);
    Ok(ExitCode::SUCCESS)
}
