//! Nothing goes wrong.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, RandomState};
use std::process::{Command, Stdio};

use grail_miner::machine::{Event, Machine};
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_tape::{Class, Mode, Options, Tape, replay, replay_with};

use super::scene::{Scene, receipts};

#[test]
fn three_windows_are_committed_uploaded_read_back_accepted_and_paid() {
    let (scene, miner) = Scene::mining(1, &["--groups-max", "3"]);
    let verdicts: Vec<_> = (0..3).map(|_| scene.verdict()).collect();
    let ended = miner.stop();
    assert!(ended.status.success(), "{:?}\n{}", ended.status, ended.stderr.join("\n"));
    let receipts = receipts(&ended.stdout);
    for verdict in &verdicts {
        assert!(verdict.is_accepted(), "{}", verdict.line());
        assert!(verdict.weights_set, "{}", verdict.line());
        let window = verdict.judgment.window_start;
        let receipt = receipts.iter().find(|receipt| receipt["window"] == window).expect("a receipt for each window");
        assert_eq!(receipt["outcome"], "uploaded", "{receipt}");
        assert_eq!(receipt["read_back"], true);
        assert_eq!(receipt["rollouts_uploaded"], verdict.judgment.rollouts);
        assert_eq!(receipt["with_beacon"], true);
        assert!(receipt["slack_seconds"].as_f64().unwrap() > 0.0, "{receipt}");
    }
    assert!(verdicts.last().unwrap().judgment.weight > 0.0);
    // The validator read it with the credentials that the chain holds.
    let committed = scene.served.world().chain.state().commitment(PROTOCOL.netuid, scene.served.world().miner);
    assert_eq!(committed.unwrap().bytes.len(), 128);
    let tapes = scene.tapes();
    assert_eq!(tapes.len(), 1, "one run, one tape");
    let replayed = replay(&tapes[0], Mode::Strict, None);
    assert_eq!(replayed.divergences, []);
    assert!(replayed.steps > 100 && replayed.states >= 3, "{} steps, {} states", replayed.steps, replayed.states);
    assert_eq!(replayed.torn_bytes, 0);
    a_core_of_chance_is_named_as_such(&tapes[0]);
    let windows: Vec<u64> = receipts.iter().map(|receipt| receipt["window"].as_u64().unwrap()).collect();
    assert!(windows.is_sorted_by(|one, next| one + PROTOCOL.window_blocks == *next), "{windows:?}");
}

/// A bug planted in the core that decides by the keys of a hash map, which differ from map to map.
fn a_core_of_chance_is_named_as_such(tape: &Tape) {
    let core = |machine: &mut Machine, now: Now, event: Event| {
        let chance_ms = RandomState::new().hash_one("") % (1 << 40);
        machine.handle(Now { wall_ms: now.wall_ms + chance_ms, ..now }, event)
    };
    let found = replay_with(tape, &Options { core: &core, ..Options::of(Mode::Strict) }).unwrap();
    assert_eq!(found.divergences[0].class, Class::NonDeterminism, "{}", found.divergences[0]);
}

#[test]
fn a_stop_uploads_the_valid_prefix_and_lets_the_next_process_begin() {
    let (scene, miner) = Scene::mining(2, &[]);
    // Not in the window in which it commits.
    scene.verdict();
    let window = (scene.head() / PROTOCOL.window_blocks) * PROTOCOL.window_blocks;
    scene.reach(window + 10);
    let ended = miner.stop();
    assert!(ended.status.success(), "{:?}\n{}", ended.status, ended.stderr.join("\n"));
    let last = receipts(&ended.stdout).pop().unwrap();
    assert_eq!((last["window"].as_u64(), last["outcome"].as_str()), (Some(window), Some("uploaded")), "{last}");
    let verdict = scene.verdict_on(window);
    assert!(verdict.is_accepted(), "{}", verdict.line());
    let again = scene.mine(&["--groups-max", "2"]);
    let verdicts = [scene.verdict(), scene.verdict()];
    assert!(verdicts.iter().any(|verdict| verdict.is_accepted()), "{}", again.log());
    let given: Vec<_> = again.receipts().iter().filter(|receipt| receipt["window"] == window).cloned().collect();
    assert_eq!(given, [] as [serde_json::Value; 0], "a second receipt");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_and_receipts_that_cannot_be_written_cost_nothing() {
    let scene = Scene::new(4);
    for is_full in [true, false] {
        let target = || -> Stdio {
            if is_full {
                return OpenOptions::new().write(true).open("/dev/full").unwrap().into();
            }
            std::io::pipe().unwrap().1.into()
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
        command.env_clear().args(["-vv", "mine", "--device", "cpu", "--groups-max", "2", "--env-file"]);
        command.arg(scene.served.env_file()).arg("--data-dir").arg(scene.data.path());
        let mut miner = command.stdin(Stdio::null()).stdout(target()).stderr(target()).spawn().unwrap();
        let accepted = (0..4).any(|_| scene.verdict().is_accepted());
        assert!(accepted, "full: {is_full}, {:?}", miner.try_wait());
        assert!(Command::new("kill").arg(miner.id().to_string()).status().unwrap().success());
        assert!(miner.wait().unwrap().success(), "full: {is_full}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let (scene, miner) = Scene::mining(3, &[]);
    miner.logged("group 0 is clean");
    // An upload that cannot end keeps a graceful stop waiting.
    scene.served.world().switch_on(grail_serve::ServeFault::UploadErrorBefore);
    miner.signal("INT");
    miner.logged("stopping");
    miner.signal("TERM");
    assert_eq!(miner.end().status.code(), Some(130));
}
