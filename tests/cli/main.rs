//! The `grail` command as its users meet it: a process with arguments, standard streams and an exit code.

mod bad_input;
mod bombs;
mod escapes;
mod golden;
#[path = "../page_in_browser/mod.rs"]
mod page_in_browser;
mod process;
#[path = "../s3_server/mod.rs"]
mod s3_server;
mod scenario;
#[path = "../schema/mod.rs"]
mod schema;
mod schemas;
mod serve;
mod shell;
mod sim;
mod streams;
mod swarm;
mod tape;
mod verify;
