//! A node's answer: JSON as it comes, bytes as storage or as a runtime's description, or events of a block.
#![no_main]

use std::sync::LazyLock;

use grail_live::chain::foreign::{read_as_everything, read_events};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static METADATA: LazyLock<Vec<u8>> =
    LazyLock::new(|| include_bytes!("../../fixtures/chain/finney-spec365.scale").into());

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 16 {
        // Reading the description takes milliseconds, so this one is tried more rarely.
        0 => drop(read_events(&METADATA, rest)),
        1..=7 => {
            let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
            read_as_everything(&Value::String(format!("0x{hex}")));
        }
        _ => {
            if let Ok(answer) = serde_json::from_slice(rest) {
                read_as_everything(&answer);
            }
        }
    }
});
