//! Two installations with one hotkey: the bucket's guard lets one of them mine, on virtual time.

use std::rc::Rc;

use grail_live::instance::{BucketGuard, GuardError, InstanceId};
use grail_sim::bucket::{BucketLink, SimBucket};
use grail_sim::clock::{ClockOffset, NodeClock};
use grail_sim::faults::FaultPlan;
use grail_sim::time::VirtualTime;

const BLOCK_MS: u64 = 12_000;
const WINDOW_MS: u64 = 30 * BLOCK_MS;

/// One bucket, two installations.
struct World {
    time: VirtualTime,
    bucket: SimBucket,
    ids: [InstanceId; 2],
}

impl World {
    fn new() -> Self {
        let id = |_| InstanceId::of(tempfile::tempdir().unwrap().path()).unwrap();
        Self { time: VirtualTime::default(), bucket: SimBucket::default(), ids: [0, 1].map(id) }
    }

    fn guard(&self, installation: usize) -> BucketGuard {
        let link =
            BucketLink::new(self.bucket.clone(), self.time.clone(), Rc::new(FaultPlan::default()), installation as u64);
        let clock = Rc::new(NodeClock::new(self.time.clone(), Rc::default(), ClockOffset::default()));
        BucketGuard::new(Rc::new(link), clock, "5Grw", self.ids[installation].clone(), BLOCK_MS)
    }
}

#[test]
fn the_second_installation_is_refused_until_the_first_is_gone() {
    let world = World::new();
    let (first, second, time) = (world.guard(0), world.guard(1), world.time.clone());
    let again = world.guard(0);
    world.time.run(1, async move {
        first.take(false).await.unwrap();
        time.sleep(60_000).await;
        let refused = second.take(false).await.unwrap_err();
        assert!(matches!(&refused, GuardError::Taken { seconds: 60..=62, .. }), "{refused}");
        assert!(refused.to_string().contains("--take-over"), "{refused}");
        // A process that was killed and started again is the same installation.
        again.take(false).await.unwrap();
        again.release().await;
        second.take(false).await.unwrap();
        time.sleep(WINDOW_MS).await;
        first.take(false).await.unwrap();
    });
}

#[test]
fn a_holder_is_watched_and_only_one_that_renews_keeps_others_out() {
    let world = World::new();
    let (killed, second, time) = (world.guard(0), world.guard(1), world.time.clone());
    world.time.run(1, async move {
        killed.take(false).await.unwrap();
        time.sleep(5_000).await;
        second.begin(false, |_, _| {}).await.unwrap();
        assert!((240_000..260_000).contains(&time.now_ms()), "{}", time.now_ms());
    });
    let world = World::new();
    let (running, second) = (world.guard(0), world.guard(1));
    let refused = world.time.run(1, async move {
        running.take(false).await.unwrap();
        tokio::select! {
            lost = running.keep() => panic!("{lost}"),
            taken = second.begin(false, |_, _| {}) => taken.unwrap_err(),
        }
    });
    assert!(matches!(refused, GuardError::Taken { .. }), "{refused}");
    assert!(world.time.now_ms() <= 12 * BLOCK_MS, "it took {} ms", world.time.now_ms());
    // A clock that was a year ahead.
    let world = World::new();
    let holder = format!(r#"{{"instance": "{}", "seen_ms": 9000000000000}}"#, world.ids[0]);
    world.bucket.place("grail/instances/5Grw.json", holder.as_bytes(), 1);
    let second = world.guard(1);
    world.time.run(1, async move { second.begin(false, |_, _| {}).await.unwrap() });
}

#[test]
fn an_installation_that_is_taken_over_learns_of_it() {
    let world = World::new();
    let (first, second, time) = (world.guard(0), world.guard(1), world.time.clone());
    let taker = world.ids[1].to_string();
    let lost = world.time.run(1, async move {
        first.take(false).await.unwrap();
        time.sleep(1_000).await;
        second.take(true).await.unwrap();
        first.keep().await
    });
    assert!(lost.to_string().contains(&taker), "{lost}");
    assert!(world.time.now_ms() <= 11 * BLOCK_MS, "it took {} ms", world.time.now_ms());
}

#[test]
fn content_that_no_installation_writes_has_no_owner() {
    for content in [
        r#"{"instance": "\u001b]0;owned\u0007xxxxxxxxxxxxx", "seen_ms": 18446744073709551615}"#.to_owned(),
        format!(r#"{{"instance": "{}", "seen_ms": 18446744073709551615}}"#, "f".repeat(500)),
        "[".repeat(1_000),
    ] {
        let world = World::new();
        world.bucket.place("grail/instances/5Grw.json", content.as_bytes(), 1);
        let guard = world.guard(0);
        world.time.run(1, async move { guard.take(false).await.unwrap() });
    }
}

#[test]
fn renewal_keeps_others_out() {
    let world = World::new();
    let (first, second, time) = (world.guard(0), world.guard(1), world.time.clone());
    let refusals = world.time.run(1, async move {
        first.take(false).await.unwrap();
        let keep = first.keep();
        let tries = async {
            let mut refusals = 0;
            for _ in 0..10 {
                time.sleep(WINDOW_MS / 3).await;
                refusals += usize::from(second.take(false).await.is_err());
            }
            refusals
        };
        tokio::select! {
            lost = keep => panic!("{lost}"),
            refusals = tries => refusals,
        }
    });
    assert_eq!(refusals, 10);
}
