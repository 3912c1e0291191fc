//! A tape: raw bytes, or payloads in valid frames. Its content stays the same after writing and reading it again.
#![no_main]

use std::path::Path;

use grail_fuzz::framed;
use grail_tape::Tape;
use libfuzzer_sys::fuzz_target;

const HEADER: &[u8] = include_bytes!("../seeds/tape_header.json");

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let header = [&[0], HEADER].concat();
    let file = match how % 5 {
        0 => rest.to_vec(),
        format @ 1..=3 => framed(b"GRAILTAP", u32::from(format), &[&header, rest]),
        _ => framed(b"GRAILTAP", 3, &[rest]),
    };
    let path = Path::new("fuzz.tape");
    let Ok(tape) = Tape::parse(path, &file) else { return };
    tape.machine();
    let written = tape.to_bytes().expect("a tape that was read can be written");
    let again = Tape::parse(path, &written).expect("a tape that was written can be read");
    // By bytes, as a number that is none equals nothing.
    assert!(again.to_bytes().expect("as before") == written, "a tape changed by being written");
});
