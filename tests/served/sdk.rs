//! The served chain read by bittensor's own SDK; skipped, with a notice, where Python has no `bittensor`.

use std::process::Command;

use grail_serve::chain::Runtime;
use grail_serve::{MINER_UID, ServeOptions, Served};
use serde_json::Value;

use crate::interop::python;

const NETUID: u16 = 81;

/// At each of the two runtimes: the main network's metadata is recorded in a version that the SDK does not read.
#[test]
fn the_sdk_reads_commits_and_sets_weights() {
    let Some(python) = python(&["-c", "import bittensor"], None) else {
        eprintln!("skipped: no Python with bittensor; name one in GRAIL_TEST_PYTHON");
        return;
    };
    for runtime in Runtime::ALL {
        reads_commits_and_sets_weights(&python, runtime);
    }
}

fn reads_commits_and_sets_weights(python: &str, runtime: Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&ServeOptions { runtime, ..ServeOptions::new(folder.path()) }).unwrap();
    let world = served.world();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/served/sdk.py");
    let output = Command::new(python)
        .arg(script)
        .arg(&world.chain_endpoints()[0])
        .arg(folder.path().join("wallets"))
        .args(["served", "miner", &NETUID.to_string()])
        .env("HOME", folder.path())
        .output()
        .unwrap();
    let (reported, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{runtime:?}\n{reported}\n{errors}");
    let seen: Value = serde_json::from_str(reported.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {reported}\n{errors}"));

    let state = world.chain.state();
    let block = seen["block"].as_u64().unwrap();
    assert_eq!(seen["block_hash"].as_str(), state.hash(block).as_deref());
    let hotkeys: Vec<String> =
        (0..state.neurons(NETUID)).map(|uid| state.hotkey(NETUID, uid).unwrap().to_ss58()).collect();
    assert_eq!(seen["hotkeys"], serde_json::json!(hotkeys));
    assert_eq!(seen["uids"], serde_json::json!([0, 1, 2]));
    assert_eq!(seen["committed"], true, "{seen}");
    assert_eq!(state.commitment(NETUID, world.miner).unwrap().bytes, [b'x'; 128]);
    let committed = serde_json::json!(["Raw128", "x".repeat(128)]);
    assert_eq!(seen["commitments"][world.miner.to_ss58()], committed, "{seen}");
    assert_eq!(seen["weights_set"], true, "{seen}");
    // The SDK scales the largest weight to 65535.
    assert_eq!(state.weights(NETUID, MINER_UID).unwrap(), [(0, 65535), (1, 21845)]);
}
