//! The host's clocks against the contract.

use grail_contract as contract;
use grail_live::clock::SystemClock;
use grail_loopback::s3::block_on;
use grail_miner::ports::{Clock, within};

#[test]
fn the_contract_holds() {
    block_on(async { contract::clock(&SystemClock::new()).await });
}

#[test]
fn several_sleeps_are_pending_at_a_time() {
    block_on(async {
        let clock = SystemClock::new();
        let start = clock.now().monotonic_ms;
        let sleeps = [30, 10, 20].map(|ms| clock.sleep_until(start + ms));
        futures_util::future::join_all(sleeps).await;
        assert!(clock.now().monotonic_ms >= start + 30);
    });
}

#[test]
fn a_limit_beyond_all_times_is_no_limit() {
    block_on(async {
        let clock = SystemClock::new();
        assert_eq!(within(&clock, u64::MAX, async { 7 }).await, Some(7));
        assert_eq!(within(&clock, 5, clock.sleep_until(u64::MAX)).await, None);
    });
}

#[test]
fn the_wall_clock_is_of_this_century() {
    assert!(SystemClock::new().now().wall_ms > 1_600_000_000_000);
}
