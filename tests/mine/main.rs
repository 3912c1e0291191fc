//! The unmodified `grail mine` against a served world: real sockets, real signatures, real files, one process killed and
//! started again as often as it takes.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests run processes in real time")]

mod aftermath;
mod control;
mod crash;
mod failing_calls;
mod faults;
mod monitoring;
mod plain;
mod proxies;
mod scene;
#[path = "../schema/mod.rs"]
mod schema;
mod secrets;
#[allow(dead_code, reason = "other tests need its bad manners")]
#[path = "../telemetry/server.rs"]
mod server;
mod startup;
mod telemetry;
