//! The pages of an operator.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests read files and wait in real time")]

mod report;
