//! A journal: raw bytes, or a payload in a frame that is whole. A record that is read stays the same after writing and
//! reading it again.
#![no_main]

use std::path::Path;

use grail_fuzz::framed;
use grail_journal::{decode_record, encode_record, records_in};
use grail_protocol::budget::Budget;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let file = match how % 2 {
        0 => rest.to_vec(),
        _ => framed(b"GRAILJNL", 1, &[rest]),
    };
    for record in records_in(Path::new("fuzz.journal"), &file).unwrap_or_default() {
        let written = encode_record(&record).expect("plain data");
        let again = decode_record(&written, &Budget::new(1 << 30)).expect("a record that was written can be read");
        // By bytes, as a number that is none equals nothing.
        assert!(encode_record(&again).expect("plain data") == written, "a record changed by being written");
    }
});
