//! The `grail` command as its users meet it: a process with arguments, standard streams and an exit code.

mod bad_input;
mod process;
mod scenario;
#[path = "../schema/mod.rs"]
mod schema;
mod schemas;
mod serve;
mod sim;
mod streams;
mod tape;
mod verify;
