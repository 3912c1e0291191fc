//! What leaves the process: Weights & Biases, Loki, webhooks, each against a server on loopback that misbehaves on demand.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests use sockets, threads and files")]

mod interop;
mod loki;
mod offline;
mod online;
mod rules;
mod server;
mod wandb_service;
mod webhooks;
