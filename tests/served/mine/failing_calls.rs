//! Every call of the process on a file or on a socket fails in turn, once and permanently.
//!
//! A preloaded library counts the miner's calls and makes one of them fail, so the test covers the program's real
//! calls, from any module or library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use grail_protocol::PROTOCOL;
use grail_verify::Verdict;

use super::scene::{Ended, Miner, Scene, receipts};

const SCENES: u64 = 4;
const SCENES_MANY: u64 = 8;
/// Calls of each kind that fail, spread over a window, unless the environment asks for more.
const CALLS: usize = 3;
const CALLS_VARIABLE: &str = "GRAIL_TEST_CALLS";
const ARGUMENTS: [&str; 4] = ["--policy", "all", "--groups-max", "2"];
/// A miner that starts later in its window may not finish a group in it.
const LATEST_START_BLOCKS: u64 = 6;
/// Time for a miner to stop while its servers are unreachable.
const PATIENCE: Duration = Duration::from_secs(60);
const PANIC: i32 = 101;

#[derive(Debug, Clone, Copy)]
struct Case {
    /// The library's word for the calls: `files` or `sockets`.
    of: &'static str,
    /// The failing call; none if calls are only counted.
    fail_at: Option<usize>,
    /// Whether all later ones fail as well.
    for_good: bool,
}

impl Case {
    fn prefix(self, library: &Path, scene: &Scene, log: &Path) -> Vec<String> {
        let mut words = vec![
            format!("LD_PRELOAD={}", library.display()),
            format!("INTERPOSE_OF={}", self.of),
            format!("INTERPOSE_BELOW={}", scene.data.path().display()),
            format!("INTERPOSE_LOG={}", log.display()),
        ];
        words.extend(self.fail_at.map(|number| format!("INTERPOSE_FAIL_AT={number}")));
        words.extend(self.for_good.then(|| "INTERPOSE_FAIL_ON=1".to_owned()));
        words
    }
}

/// Returns a world in which a read key has been committed and a window accepted.
fn world(seed: u64) -> Scene {
    let (scene, miner) = Scene::mining(seed, &ARGUMENTS);
    let verdict = scene.verdict();
    assert!(verdict.is_accepted(), "{}\n{}", verdict.line(), miner.log());
    miner.kill();
    scene
}

/// Returns a miner of this world in which the case happens.
fn mine(scene: &Scene, case: Case, library: &Path, log: &Path) -> Miner {
    let mut command = Command::new("/usr/bin/env");
    command.args(case.prefix(library, scene, log)).arg(env!("CARGO_BIN_EXE_grail"));
    scene.mine_by(command, &ARGUMENTS)
}

fn built(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/served/mine/failing_calls/interpose.c");
    let library = folder.join("interpose.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().expect("a C compiler").success());
    library
}

/// Returns the start of a window with enough time left for a group.
fn next_window(scene: &Scene) -> u64 {
    let current = scene.head() / PROTOCOL.window_blocks * PROTOCOL.window_blocks;
    let is_late = scene.head() > current + LATEST_START_BLOCKS;
    let window = if is_late { current + PROTOCOL.window_blocks } else { current };
    scene.reach(window + 1);
    window
}

/// Waits until the window has its receipt, the miner has ended by itself, or the window is long over.
fn live_through(scene: &Scene, miner: &mut Miner, window: u64) {
    let given = |miner: &Miner| miner.receipts().iter().any(|receipt| receipt["window"] == window);
    while !miner.has_ended() && !given(miner) && scene.head() < window + PROTOCOL.window_blocks + 10 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs one window with the case in it. Returns the calls that were made.
fn survive(scene: &Scene, case: Case, library: &Path) -> Vec<String> {
    let log = scene.data.path().join("calls.log");
    let _ = std::fs::remove_file(&log);
    let window = next_window(scene);
    let mut miner = mine(scene, case, library, &log);
    live_through(scene, &mut miner, window);
    let by_itself = miner.has_ended();
    let began = Instant::now();
    let ended = if by_itself { miner.end() } else { miner.stop() };
    let reported = format!("{case:?} in window {window}\n{}", ended.stderr.join("\n"));
    assert!(began.elapsed() < PATIENCE, "it took {:?} to end: {reported}", began.elapsed());
    no_panic(&ended, by_itself, &reported);
    let receipts = receipts(&ended.stdout);
    let outcome = receipts.iter().find(|receipt| receipt["window"] == window).map(|receipt| &receipt["outcome"]);
    let claimed = outcome.is_some_and(|outcome| outcome == "uploaded");
    // On a slow machine there may be no group in time, or the miner comes when its window is nearly over.
    let begun = format!("window {window}: started");
    let costs_nothing = match outcome {
        Some(outcome) => outcome == "uploaded" || outcome == "nothing_ready",
        None => !ended.stderr.iter().any(|line| line.contains(&begun)),
    };
    assert!(by_itself || case.for_good || costs_nothing, "one failing call cost the window: {outcome:?}, {reported}");
    // A supervisor restarts it, and clean groups still count until the window is over.
    let groups = scene.groups_journaled(window);
    let has_time = scene.head() < window + PROTOCOL.window_blocks * 2 / 3;
    let again = (by_itself && has_time).then(|| {
        let mut miner = scene.mine(&ARGUMENTS);
        live_through(scene, &mut miner, window);
        miner.kill()
    });
    let verdict = scene.verdict_on(window);
    let reported =
        format!("{reported}\n-- again:\n{}", again.as_ref().map_or(String::new(), |ended| ended.stderr.join("\n")));
    let is_rejected = matches!(verdict.judgment.verdict, Some(Verdict::Rejected { .. }));
    assert!(!is_rejected, "{}: {reported}", verdict.line());
    assert!(verdict.is_accepted() || !claimed, "claimed, but {}: {reported}", verdict.line());
    let is_healed = if by_itself { again.is_some() } else { !case.for_good };
    assert!(verdict.is_accepted() || groups == 0 || !is_healed, "{groups} groups, but {}: {reported}", verdict.line());
    let enough = verdict.judgment.rollouts >= groups * PROTOCOL.rollouts_per_group;
    assert!(enough || !is_healed, "{groups} groups, but {} rollouts: {reported}", verdict.judgment.rollouts);
    let calls = std::fs::read_to_string(&log).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

fn no_panic(ended: &Ended, by_itself: bool, reported: &str) {
    let code = ended.status.code().unwrap_or_else(|| panic!("ended by a signal: {reported}"));
    assert!(code != PANIC && !ended.stderr.iter().any(|line| line.contains("panicked at")), "{reported}");
    // It may have been about to end by itself.
    assert!(!by_itself || code != 0, "it ended by itself as if all were well: {reported}");
    assert!(!by_itself || !ended.stderr.is_empty(), "it ended without a word: {reported}");
}

/// As many numbers up to `count`, spread evenly.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(count);
    (0..wanted).map(|number| 1 + number * (count - 1) / (wanted - 1).max(1)).collect()
}

fn all_cases(library: &Path, wanted: usize) -> Vec<Case> {
    let counted = [("files", 270), ("sockets", 271)].map(|(of, seed)| {
        let library = library.to_owned();
        std::thread::spawn(move || {
            let case = Case { of, fail_at: None, for_good: false };
            let calls = survive(&world(seed), case, &library);
            assert!(calls.len() > 20, "{of}: {calls:?}");
            (of, calls.len())
        })
    });
    let counted = counted.map(|thread| thread.join().expect("it was to be counted only, see above"));
    let cases = counted.iter().flat_map(|(of, count)| {
        println!("{of}: {count} calls from start to receipt");
        let once_and_for_good = |number| [false, true].map(|for_good| Case { of, fail_at: Some(number), for_good });
        spread(*count, wanted).into_iter().flat_map(once_and_for_good)
    });
    cases.collect()
}

#[test]
fn every_call_on_a_file_or_a_socket_fails_in_turn() {
    let wanted = std::env::var(CALLS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(CALLS);
    let folder = tempfile::tempdir().unwrap();
    let library = built(folder.path());
    let cases = Mutex::new(all_cases(&library, wanted).into_iter());
    let scenes = if wanted > 10 * CALLS { SCENES_MANY } else { SCENES };
    let struck: usize = std::thread::scope(|scope| {
        let run = |number: u64| {
            let (cases, library) = (&cases, &library);
            scope.spawn(move || {
                let scene = world(280 + number);
                let next = || cases.lock().unwrap().next();
                let struck = std::iter::from_fn(next).filter(|case| {
                    let calls = survive(&scene, *case, library);
                    calls.iter().any(|call| call.contains(" FAILED "))
                });
                struck.count()
            })
        };
        let running: Vec<_> = (0..scenes).map(run).collect();
        running.into_iter().map(|scene| scene.join().expect("a scene failed, see above")).sum()
    });
    println!("{struck} cases struck");
    // A run with fewer calls, for example on a busy machine, does not reach the last numbers.
    assert!(struck >= 2 * wanted.min(CALLS), "only {struck} cases struck");
}
