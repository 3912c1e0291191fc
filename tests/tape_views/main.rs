//! What tapes and rehearsals show a person: time travel in a terminal, and pages.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests run programs and read files")]

mod browser;
#[path = "../in_terminal/mod.rs"]
mod in_terminal;
mod made;
#[path = "../page_in_browser/mod.rs"]
mod page_in_browser;
mod pages;
mod pseudo_terminal;
mod screens;
mod travel;
