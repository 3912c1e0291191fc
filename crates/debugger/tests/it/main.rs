//! Tapes to look at: pages, screens, travel.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests read files and wait in real time")]

mod browser;
mod fork;
mod made;
mod pages;
mod screens;
mod travel;
