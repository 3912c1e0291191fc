//! The recorded trace hashes: what a commit did for a seed, the next one does too, unless the change is meant.

use std::path::Path;

use grail::traces::{REMEDY, TraceHashes};

#[test]
fn every_recorded_command_still_prints_its_trace_hash() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let recorded = TraceHashes::read(&fixtures).unwrap_or_else(|error| panic!("{error}"));
    let differences = TraceHashes::compute().differences(&recorded);
    assert!(differences.is_empty(), "{}\n{REMEDY}", differences.join("\n"));
}
