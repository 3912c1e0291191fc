//! A miner that is killed at any moment and started again loses no clean group.

use std::time::{Duration, Instant};

use grail_miner::ports::JournalRecord;
use grail_protocol::PROTOCOL;
use grail_protocol::window_file::object_key;
use grail_serve::ServeFault;
use grail_sim::ledger::Audit;
use grail_tape::{Mode, replay};
use sha2::{Digest, Sha256};

use super::scene::{Ended, Scene, receipts};

/// Worlds at a time; more of them share many kills.
const SCENES: u64 = 4;
const SCENES_MANY: u64 = 8;
/// Kills in all, unless the environment asks for more.
const KILLS: u64 = 6;
const KILLS_VARIABLE: &str = "GRAIL_TEST_KILLS";

/// Kills the miner once in each of these windows, at moments that follow from the seed.
fn kills(scene_number: u64, count: u64) -> (u64, u64) {
    let arguments = ["--policy", "all", "--groups-max", "2"];
    let (scene, mut miner) = Scene::mining(200 + scene_number, &arguments);
    let mut window = scene.verdict().judgment.window_start + PROTOCOL.window_blocks;
    let (mut groups_saved, mut receipts_seen) = (0, 0);
    for number in 0..count {
        // The window that is running may be far along by now: take the next one.
        window = window.max(scene.head() / PROTOCOL.window_blocks * PROTOCOL.window_blocks + PROTOCOL.window_blocks);
        scene.reach(window);
        let began = Instant::now();
        // From the first group to the first uploads, with time left for a start.
        let moment = Duration::from_millis(400 + (scene_number * 977 + number * 613) % 3_600);
        std::thread::sleep(moment.saturating_sub(began.elapsed()));
        let killed = miner.kill();
        let groups = scene.groups_journaled(window);
        miner = scene.mine(&arguments);
        let verdict = scene.verdict_on(window);
        let reported = |ended: &Ended| ended.stderr.join("\n");
        assert!(
            verdict.is_accepted() || groups == 0 && verdict.judgment.verdict.is_none(),
            "killed {moment:?} into window {window}, {groups} groups journaled: {}\n{}\n-- after:\n{}",
            verdict.line(),
            reported(&killed),
            miner.log()
        );
        assert!(
            verdict.judgment.rollouts >= groups * PROTOCOL.rollouts_per_group,
            "killed {moment:?} into window {window}: {groups} groups were clean, {} rollouts uploaded\n{}",
            verdict.judgment.rollouts,
            miner.log()
        );
        let given = receipts(&killed.stdout).iter().filter(|receipt| receipt["window"] == window).count();
        assert_eq!(given, 0, "a receipt before the window's end");
        groups_saved += groups as u64;
        miner.given_receipt(window);
        receipts_seen += miner.receipts().iter().filter(|receipt| receipt["window"] == window).count() as u64;
        window += PROTOCOL.window_blocks;
    }
    drop(miner);
    // Each run left a tape, most of them cut by a kill; all of them replay.
    for tape in scene.tapes() {
        let replayed = replay(&tape, Mode::Strict, None);
        assert_eq!(replayed.divergences, []);
        assert!(replayed.steps > 0);
    }
    (groups_saved, receipts_seen)
}

#[test]
fn nothing_clean_is_lost_when_the_process_is_killed_and_started_again() {
    let kills_wanted = std::env::var(KILLS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let scenes = if kills_wanted > 10 * KILLS { SCENES_MANY } else { SCENES };
    let each = u64::div_ceil(kills_wanted, scenes);
    let running: Vec<_> = (0..scenes).map(|number| std::thread::spawn(move || kills(number, each))).collect();
    let (mut groups, mut receipts) = (0, 0);
    for scene in running {
        let (saved, seen) = scene.join().expect("a scene failed, see above");
        groups += saved;
        receipts += seen;
    }
    assert!(groups > 0, "no kill came after a group was clean, so nothing was tested");
    assert_eq!(receipts, each * scenes, "each window has one receipt");
}

/// Kills the miner while its upload is under way, and starts it again.
fn kill_in_an_upload(number: u64, fault: ServeFault) {
    let arguments = ["-vv", "--groups-max", "2"];
    let (scene, miner) = Scene::mining(250 + number, &arguments);
    let window = scene.verdict().judgment.window_start + 2 * PROTOCOL.window_blocks;
    scene.reach(window);
    scene.served.world().switch_on(fault);
    let key = object_key(&scene.served.world().miner.to_ss58(), window);
    miner.logged(&format!("\"condition\":\"Absent\",\"key\":\"{key}\""));
    miner.kill();
    let records = scene.journal();
    let begun = |record: &JournalRecord| matches!(record, JournalRecord::UploadStarted { window_start, .. } if *window_start == window);
    assert!(records.iter().any(begun), "{fault:?}: sent before it was journaled");
    scene.served.world().heal();
    let miner = scene.mine(&arguments);
    // Late enough for an upload, and before the next window's journal starts.
    scene.reach(window + PROTOCOL.window_blocks - 4);
    let log = miner.log();
    miner.kill();
    let audit = Audit::default();
    scene.journal().iter().for_each(|record| audit.note(record));
    assert_eq!(audit.violations(), [], "{fault:?}:\n{log}");
    let object = scene.served.world().bucket.object(&key).map(|bytes| hex::encode(Sha256::digest(&bytes)));
    assert!(object.is_some(), "{fault:?}: nothing was uploaded:\n{log}");
    assert_eq!(audit.settle(window, object.as_deref(), &[]), Ok(()), "{fault:?}:\n{log}");
    let verdict = scene.verdict_on(window);
    assert!(verdict.is_accepted(), "{fault:?}: {}\n{log}", verdict.line());
}

#[test]
fn a_kill_in_the_middle_of_an_upload_is_settled_by_the_next_process() {
    let faults = [ServeFault::SlowBucket, ServeFault::UploadTimeOutAfter, ServeFault::UploadErrorBefore];
    let scenes: Vec<_> =
        (0..).zip(faults).map(|(number, fault)| std::thread::spawn(move || kill_in_an_upload(number, fault))).collect();
    for scene in scenes {
        scene.join().expect("a scene failed, see above");
    }
}

#[test]
fn restarted_in_place_the_miner_continues_its_window() {
    let (scene, miner) = Scene::mining(260, &["--policy", "all", "--groups-max", "4"]);
    let window = scene.verdict().judgment.window_start + 2 * PROTOCOL.window_blocks;
    scene.reach(window + 10);
    let clean = format!("window {window}: group ");
    let groups = miner.log().lines().filter(|line| line.contains(&clean) && line.contains("is clean")).count();
    miner.signal("HUP");
    miner.logged("starting again in place");
    let verdict = scene.verdict_on(window);
    assert!(verdict.is_accepted(), "{}\n{}", verdict.line(), miner.log());
    assert!(verdict.judgment.rollouts >= groups * PROTOCOL.rollouts_per_group, "{groups} groups were clean");
    let begun = miner.log().matches("mining as").count();
    assert_eq!(begun, 2, "one process, started twice\n{}", miner.log());
    miner.stop();
}
