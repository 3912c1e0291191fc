//! What an operator sees of a miner, and what is sent elsewhere, against servers on loopback.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests read files and wait in real time")]

mod interop;
mod loki;
mod monitoring;
mod offline;
mod online;
mod parsers;
mod rules;
mod wandb_service;
mod webhooks;
