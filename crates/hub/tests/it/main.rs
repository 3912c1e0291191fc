//! Downloads from a server on loopback that answers as the Hugging Face hub does.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests read files and run servers")]

mod download;
