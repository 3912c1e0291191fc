//! What a miner's operator looks at: the whole screen, and what is left of windows that are over.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests run programs and read files")]

#[path = "../in_terminal/mod.rs"]
mod in_terminal;
mod report;
mod top;
