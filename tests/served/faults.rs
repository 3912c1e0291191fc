//! Each fault as our adapters see it, and that it ends when it is switched off.

use std::time::Duration;

use grail_config::{self as config, EnvFileError, Environment};
use grail_contract as contract;
use grail_live::instance::{HotkeyLock, HotkeyLockError};
use grail_loopback::node::soon;
use grail_loopback::s3::block_on;
use grail_miner::ports::{Beacon, BeaconError, Bucket, BucketError, Chain, ChainError, CommitError, PutCondition};
use grail_serve::{ServeFault, ServeOptions, Served, World};

use crate::world::{ServedWorld, beacon, bucket, chain};

const KEY: &str = "grail/windows/5abc-window-30.json.gz";

/// Runs `work` in a world of its own.
fn in_world(block_ms: u64, work: impl AsyncFnOnce(&World)) {
    let served_world = ServedWorld::start(block_ms);
    block_on(work(served_world.world()));
}

/// Returns what `work` gives while the fault is on.
async fn under<T>(world: &World, fault: ServeFault, work: impl AsyncFnOnce() -> T) -> T {
    world.switch_on(fault);
    let answer = work().await;
    world.switch_off(fault);
    answer
}

/// The chain's answer once it has one.
async fn persistent<T>(mut ask: impl AsyncFnMut() -> Result<T, ChainError>) -> T {
    loop {
        if let Ok(answer) = ask().await {
            return answer;
        }
    }
}

#[test]
fn the_healthy_servers_keep_the_contracts_of_the_ports() {
    in_world(100, async |world| {
        soon(contract::bucket(&bucket(world), KEY)).await;
        let newest = world.beacon.network.newest_round();
        soon(contract::beacon(&beacon(world), newest - 5, newest + 1_000)).await;
        soon(contract::chain(&chain(world), &[b'x'; 128])).await;
        assert_eq!(soon(chain(world).registration()).await, Ok(Some(1)));
    });
}

#[test]
fn a_listed_stall_ends_and_the_chain_continues() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        ServeOptions { block_ms: 100, faults: vec![ServeFault::StalledChain], ..ServeOptions::new(folder.path()) };
    let served = Served::start(&options).unwrap();
    // There is one in every window, so this is beyond the first.
    let is_beyond = async {
        while served.world().chain.state().head() < 35 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    block_on(async { soon(is_beyond).await });
}

#[test]
fn of_two_who_create_one_object_one_succeeds() {
    in_world(250, async |world| {
        let (one, other) = (bucket(world), bucket(world));
        for round in 0..20 {
            let key = format!("{KEY}-{round}");
            let create = |bucket| put(bucket, &key);
            let (one, other) = soon(async { tokio::join!(create(&one), create(&other)) }).await;
            assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
        }
    });
}

async fn put(bucket: &dyn Bucket, key: &str) -> Result<(), BucketError> {
    bucket.put(key, b"content", &PutCondition::Absent, 5_000).await.map(drop)
}

/// Whether an upload ended as it must under a fault; the text of an error must hold the given part.
type Expected = fn(&Result<(), BucketError>, &str) -> bool;

fn is_transient<T>(result: &Result<T, BucketError>, part: &str) -> bool {
    matches!(result, Err(BucketError::Transient(text)) if text.contains(part))
}

fn is_refused<T>(result: &Result<T, BucketError>, part: &str) -> bool {
    matches!(result, Err(BucketError::Refused(text)) if text.contains(part))
}

#[test]
fn faults_of_the_bucket() {
    in_world(250, async |world| {
        let bucket = bucket(world);
        let is_there = |key: &str| world.bucket.object(key).is_some();
        let cases: [(ServeFault, Expected, &str, bool); 8] = [
            (ServeFault::UploadErrorBefore, is_transient, "", false),
            (ServeFault::BucketRateLimit, is_transient, "", false),
            // A read of the object shows the result that the answer did not.
            (ServeFault::UploadErrorAfter, |put, _| put.is_ok(), "", true),
            (ServeFault::UploadTimeOutAfter, |put, _| put.is_ok(), "", true),
            (ServeFault::ExpiredWriteKey, is_refused, "expired", false),
            (ServeFault::ReadOnlyWriteKey, is_refused, "permission", false),
            (ServeFault::WebPage, is_transient, "Sign in to the network", false),
            (ServeFault::NoConditions, is_refused, "conditional writes", false),
        ];
        for (fault, is_expected, part, is_written) in cases {
            let key = format!("{KEY}-{}", fault.name());
            let result = under(world, fault, async || put(&bucket, &key).await).await;
            assert!(is_expected(&result, part), "{fault:?}: {result:?}");
            assert_eq!(is_there(&key), is_written, "{fault:?}");
            let again = put(&bucket, &key).await;
            assert_eq!(again.is_ok(), !is_written, "{fault:?} is over: {again:?}");
        }
        let expired = under(world, ServeFault::ExpiredReadKey, async || bucket.get(KEY).await).await;
        assert!(is_refused(&expired, "expired"), "{expired:?}");
        assert_eq!(under(world, ServeFault::SlowBucket, async || bucket.get(KEY).await).await, Ok(None));
        let page = under(world, ServeFault::WebPage, async || bucket.get(KEY).await).await;
        assert!(is_transient(&page, "portal"), "{page:?}");
        let key = format!("{KEY}-elsewhere");
        let written = under(world, ServeFault::WrongAddress, async || {
            (put(&bucket, &key).await, put(&bucket, &key).await, bucket.get(&key).await)
        });
        let (first, second, read) = written.await;
        assert_eq!((first, second), (Ok(()), Err(BucketError::ConditionFailed)), "it is a bucket like another one");
        assert_eq!((read, is_there(&key)), (Ok(None), false), "validators read from another one");
        assert_eq!(put(&bucket, &key).await, Ok(()), "it is over");
    });
}

#[test]
fn faults_of_the_beacon() {
    in_world(250, async |world| {
        let beacon = beacon(world);
        let round = world.beacon.network.newest_round();
        for (fault, is_wrong) in [
            (ServeFault::BeaconOutage, false),
            (ServeFault::BeaconMissing, false),
            (ServeFault::BeaconLate, false),
            (ServeFault::BeaconWrongSignature, true),
        ] {
            let error = under(world, fault, async || beacon.round(round).await).await.unwrap_err();
            assert_eq!(matches!(error, BeaconError::Invalid(_)), is_wrong, "{fault:?}: {error:?}");
            assert!(beacon.round(round).await.is_ok(), "{fault:?} is over");
        }
    });
}

#[test]
fn faults_of_the_endpoints() {
    in_world(100, async |world| {
        let chain = chain(world);
        let registration = async || persistent(async || chain.registration().await).await;
        for fault in [ServeFault::EndpointDown, ServeFault::HalfDeadSocket, ServeFault::SocketCut] {
            assert_eq!(soon(registration()).await, Some(1));
            let answer = under(world, fault, async || soon(registration()).await).await;
            assert_eq!(answer, Some(1), "{fault:?}: the second endpoint, or a new connection");
        }
        let limited = async || chain.registration().await;
        let answer = under(world, ServeFault::ChainRateLimit, async || soon(limited()).await).await;
        assert!(answer.is_err(), "{answer:?}");
        let silence = under(world, ServeFault::EndpointSilence, async || soon(limited()).await).await;
        assert!(matches!(silence, Err(ChainError::Unreachable(_))), "{silence:?}");
        assert_eq!(soon(registration()).await, Some(1), "the registration is back");
    });
}

#[test]
fn faults_of_the_chain() {
    in_world(100, async |world| {
        let chain = chain(world);
        let commit = async |first: u8| soon(chain.commit(&[first; 128])).await;
        assert_eq!(commit(b'a').await, Ok(()));
        assert_eq!(under(world, ServeFault::RuntimeUpgrade, async || commit(b'b').await).await, Ok(()));
        assert_eq!(commit(b'c').await, Ok(()));
        world.switch_on(ServeFault::Deregistration);
        assert_eq!(soon(chain.registration()).await, Ok(None));
        assert!(matches!(commit(b'd').await, Err(CommitError::Refused(_))));
        world.switch_off(ServeFault::Deregistration);
        assert_eq!(soon(chain.registration()).await, Ok(Some(1)));

        world.switch_on(ServeFault::StalledChain);
        let head = world.chain.state().head();
        assert!(tokio::time::timeout(Duration::from_millis(500), chain.next_head(head)).await.is_err());
        world.switch_off(ServeFault::StalledChain);
        let head = persistent(async || chain.next_head(head).await).await;

        let window = (head.number / 30 + 1) * 30;
        soon(async {
            while world.chain.state().head() < window {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // Blocks wait until the fault is on, so that it strikes while the window's beginning is not final.
        world.switch_on(ServeFault::StalledChain);
        let before = persistent(async || chain.block_hash(window).await).await;
        world.switch_on(ServeFault::Reorganisation);
        world.switch_off(ServeFault::StalledChain);
        let mut after = before.clone();
        soon(async {
            while after == before {
                after = persistent(async || chain.block_hash(window).await).await;
            }
        })
        .await;
        assert_eq!(after, world.chain.state().hash(window), "there is one chain");
    });
}

#[test]
fn faults_of_the_machine_that_mines() {
    let served_world = ServedWorld::start(250);
    let (world, env_file) = (served_world.world(), served_world.served.env_file());
    let load = || config::load(&Environment::default(), Some(env_file));
    world.switch_on(ServeFault::BrokenConfiguration);
    assert!(matches!(load(), Err(EnvFileError::Syntax { .. })));
    world.switch_off(ServeFault::BrokenConfiguration);
    assert!(load().is_ok());

    let hotkey = served_world.config().wallet.hotkey_path();
    let is_held = || matches!(HotkeyLock::take(&hotkey), Err(HotkeyLockError::Taken(_)));
    let comes = |wanted: bool| {
        block_on(soon(async {
            while is_held() != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    };
    let miner = HotkeyLock::take(&hotkey).unwrap();
    world.switch_on(ServeFault::HeldLock);
    drop(miner);
    comes(true);
    world.heal();
    comes(false);
}
