//! The recorded vectors.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests read files and wait in real time")]

mod vectors;
