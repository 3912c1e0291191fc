//! Tests of the engine through its public interface.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod candle_oracle;
mod determinism;
mod fixtures;
mod generation;
mod golden_proofs;
mod loading;
mod refusals;
mod tokenizer;
