//! Every fault, one at a time.

use std::cmp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use grail_protocol::PROTOCOL;
use grail_protocol::window_file::object_key;
use grail_serve::ServeFault;
use grail_verify::Verdict;
use sha2::{Digest, Sha256};

use super::scene::{Miner, Scene};

/// Scenarios at a time; each keeps a fraction of a core busy.
const SCENES_AT_A_TIME: u32 = 8;
/// How long a window of these worlds is. Scenes start spread over one, or all would compute at once.
const WINDOW: Duration = Duration::from_millis(7_500);
/// A machine that is stuck for longer, two blocks of these worlds, may spoil a window by itself.
const STALL_MS: u64 = 500;

/// The failure, with the log.
struct Failure(String);

/// A world and its miner, which live through one fault after another.
struct Life {
    scene: Scene,
    miner: Miner,
    /// The window that was judged last, which was accepted.
    accepted: u64,
}

impl Life {
    fn begin(number: u64) -> Result<Self, Failure> {
        let (scene, miner) = Scene::mining(100 + number, &["--groups-max", "1"]);
        // On a slow machine the first windows may pass before a group is done; a rejected one is never in order.
        for number in 0.. {
            let clean = scene.verdict();
            if clean.is_accepted() {
                return Ok(Self { scene, miner, accepted: clean.judgment.window_start });
            }
            if number == 3 || matches!(clean.judgment.verdict, Some(Verdict::Rejected { .. })) {
                return Err(Failure(format!("before any fault: {}\n{}", clean.line(), miner.log())));
            }
        }
        unreachable!("it returns by then")
    }

    fn end(self) -> Result<(), Failure> {
        let log = self.miner.log();
        let ended = self.miner.stop();
        if ended.status.success() { Ok(()) } else { Err(Failure(format!("ended with {}\n{log}", ended.status))) }
    }
}

/// Lives through one fault: a window with it, and further ones until one is accepted.
fn survive(life: &mut Life, fault: ServeFault) -> Result<(), Failure> {
    let Life { scene, miner, accepted } = life;
    let describe = |miner: &Miner, what: &str| Failure(format!("{}: {what}\n{}", fault.name(), miner.log()));
    // Only once the window before is judged: many faults keep the validator from reading as well.
    let judged = std::iter::once(*accepted).chain(std::iter::repeat_with(|| scene.verdict().judgment.window_start));
    let judged_early = judged
        .map(|window| window + PROTOCOL.window_blocks)
        .find(|window| scene.head() < window + PROTOCOL.window_blocks / 3);
    let Some(struck) = judged_early else { return Err(describe(miner, "no window is judged in time")) };
    scene.served.world().switch_on(fault);
    match fault {
        ServeFault::BrokenConfiguration => miner.signal("HUP"),
        ServeFault::HeldLock => {
            miner.signal("KILL");
            while !miner.has_ended() {
                std::thread::sleep(Duration::from_millis(10));
            }
            *miner = scene.mine(&["--groups-max", "1"]);
        }
        _ => {}
    }
    let until = Instant::now() + Duration::from_millis(scene.served.world().block_ms * PROTOCOL.window_blocks / 2);
    // On a slow machine, too, it is over when the validator reads; a chain that is stuck reaches no block.
    while Instant::now() < until && scene.head() < struck + PROTOCOL.window_blocks - 5 {
        std::thread::sleep(Duration::from_millis(20));
    }
    scene.served.world().heal();
    for following in 0.. {
        let verdict = scene.verdict();
        let window = verdict.judgment.window_start;
        if let Some(Verdict::Rejected { .. }) = verdict.judgment.verdict {
            return Err(describe(miner, &verdict.line()));
        }
        let receipts = miner.receipts();
        let receipt = receipts.iter().find(|receipt| receipt["window"] == window);
        let is_uploaded = receipt.is_some_and(|receipt| receipt["outcome"] == "uploaded");
        if receipt.is_some() && !is_uploaded && verdict.is_accepted() {
            return Err(describe(miner, &format!("the receipt says {receipt:?}, the validator {}", verdict.line())));
        }
        let key = object_key(&scene.served.world().miner.to_ss58(), window);
        let stored = scene.served.world().bucket.object(&key).map(|bytes| hex::encode(Sha256::digest(&bytes)));
        if is_uploaded && receipt.is_some_and(|receipt| receipt["sha256"].as_str() != stored.as_deref()) {
            return Err(describe(miner, &format!("the receipt says {receipt:?}, the bucket holds {stored:?}")));
        }
        match (window.cmp(&struck), verdict.is_accepted()) {
            (cmp::Ordering::Less, _) => {}
            (cmp::Ordering::Equal, false) if !fault.may_cost_its_window() => {
                return Err(describe(miner, &verdict.line()));
            }
            (cmp::Ordering::Greater, true) => {
                *accepted = window;
                break;
            }
            (cmp::Ordering::Greater, false) if window > struck + 2 * PROTOCOL.window_blocks => {
                return Err(describe(miner, &format!("no upload in two windows after the fault: {}", verdict.line())));
            }
            _ if following > 8 => return Err(describe(miner, "windows go by")),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the longest time in milliseconds for which this machine did not run a ready thread, measured until it is
/// dropped.
fn watch_stalls() -> Arc<AtomicU64> {
    let longest_ms = Arc::<AtomicU64>::default();
    let watched = Arc::downgrade(&longest_ms);
    std::thread::spawn(move || {
        while let Some(longest_ms) = watched.upgrade() {
            let began = Instant::now();
            std::thread::sleep(Duration::from_millis(20));
            longest_ms.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
    });
    longest_ms
}

/// As `survive`; these windows last seven seconds. If the machine stood still for two blocks of one, the run proves
/// nothing and is repeated in a new world.
fn survive_in_time(life: &mut Option<Life>, number: u64, fault: ServeFault) -> Result<(), Failure> {
    let (stalls, began) = (watch_stalls(), Instant::now());
    let mut live = |number| {
        let mut lives = life.take().map_or_else(|| Life::begin(number), Ok)?;
        survive(&mut lives, fault)?;
        *life = Some(lives);
        Ok(())
    };
    let result = live(number);
    let stalled_ms = stalls.load(Ordering::Relaxed);
    println!("{}: {} s, stalled for {stalled_ms} ms at most", fault.name(), began.elapsed().as_secs());
    result.or_else(|Failure(first)| {
        if stalled_ms < STALL_MS {
            return Err(Failure(format!("{first}\n-- the machine stood still for {stalled_ms} ms at most")));
        }
        live(number + 50).map_err(|Failure(second)| Failure(format!("{first}\n-- again:\n{second}")))
    })
}

#[test]
fn every_fault_is_survived_and_no_window_is_ever_invalid() {
    let waiting = Mutex::new((0..).zip(ServeFault::ALL.iter().copied()));
    let next = || waiting.lock().unwrap().next();
    let live = &|scene: u32| {
        std::thread::sleep(WINDOW * scene / SCENES_AT_A_TIME);
        let mut life = None;
        let mut failed: Vec<String> = std::iter::from_fn(next)
            .filter_map(|(number, fault)| {
                let failure = survive_in_time(&mut life, number, fault).err();
                failure.map(|Failure(what)| format!("{}: {what}", fault.name()))
            })
            .collect();
        failed.extend(life.and_then(|life| life.end().err()).map(|Failure(what)| what));
        failed
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let scenes: Vec<_> = (0..SCENES_AT_A_TIME).map(|scene| scope.spawn(move || live(scene))).collect();
        scenes.into_iter().flat_map(|scene| scene.join().expect("a scene panicked, see above")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
