//! The unmodified `grail mine` against a served world: real sockets, real signatures, real files, one process killed and
//! started again as often as it takes.

mod aftermath;
mod control;
mod crash;
mod defects;
mod failing_calls;
mod faults;
mod folder;
pub(crate) mod monitoring;
mod plain;
mod proxies;
mod restart;
mod scene;
pub(crate) mod secrets;
mod startup;
mod store;
mod telemetry;
