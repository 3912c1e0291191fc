//! Tools for operators: init, doctor, a trial window, top, why, bundle, report, and the estimate of a GPU's earnings; and
//! what a service needs around its core: signals, locks of dying processes, the pages next to the metrics.
//!
//! They may read a miner's files, the chain and the bucket, and `init` writes a new `.env`; they upload nothing and decide
//! nothing that the cores decide.
//! [`doctor::examine`] checks every prerequisite, [`why::gather`] joins what is known of a window, and
//! [`bundle::Bundle`] packs it.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod bundle;
pub mod doctor;
pub mod dying;
pub mod estimate;
pub mod init;
pub mod judge;
pub mod pages;
mod plots;
pub mod prover;
pub mod recording;
pub mod replaying;
pub mod report;
pub mod signals;
pub mod tapes;
pub mod top;
pub mod trial;
pub mod validator_board;
pub mod validator_metrics;
mod validator_state;
pub mod verdicts;
pub mod weights;
pub mod why;

/// Returns the runtime of a command's asynchronous work.
///
/// # Errors
/// If no file descriptor or thread is left: waiting helps.
pub fn runtime() -> Result<tokio::runtime::Runtime, grail_terminal::ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| {
        let text = format!(
            "cannot start the asynchronous runtime ({error}): the operating system refuses more file descriptors or \
             threads; end other processes, or raise `ulimit -n` and `ulimit -u`"
        );
        grail_terminal::ExitError::new(grail_terminal::Exit::Retry, text)
    })
}
