//! Servers on loopback for the tests of several crates: a chain's node, a drand relay, an S3 store, a scripted peer,
//! and helpers to check a terminal, a page or JSON.
//!
//! A development dependency only: nothing that mines may depend on it. It knows no adapter, so that adapters can be
//! tested against it.

#![cfg(feature = "servers")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "servers run in real time on their own threads"
)]

pub mod browser;
pub mod drand;
pub mod http;
pub mod node;
pub mod s3;
pub mod schema;
pub mod scripted;
pub mod terminal;
