//! The simulated ports pass the suites that every implementation of a port must pass.

use std::rc::Rc;

use futures_util::future::join;
use grail_contract as contract;
use grail_engine::CpuEngine;
use grail_miner::ports::{GenerateRequest, Journal, JournalRecord};
use grail_protocol::generation::StreamKey;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Keypair;
use grail_sim::beacon::{BeaconLink, SimBeacon};
use grail_sim::bucket::{BucketLink, SimBucket};
use grail_sim::chain::{ChainLink, SimChain};
use grail_sim::clock::{ClockOffset, NodeClock};
use grail_sim::engine::{EngineSpeed, Generator, SimEngine};
use grail_sim::faults::{Fault, FaultKind, FaultPlan};
use grail_sim::journal::{DiskJournal, MemoryJournal};
use grail_sim::ledger::{Audit, AuditedJournal};
use grail_sim::synthetic::SyntheticModel;
use grail_sim::time::VirtualTime;

#[test]
fn the_clock_of_a_node_keeps_the_contract() {
    let time = VirtualTime::default();
    let clock = NodeClock::new(time.clone(), Rc::new(FaultPlan::default()), ClockOffset::default());
    time.run(0, async move { contract::clock(&clock).await });
}

#[test]
fn the_simulated_chain_keeps_the_contract() {
    let time = VirtualTime::default();
    let faults = Rc::new(FaultPlan::default());
    let chain = SimChain::new(1, time.clone(), 100);
    chain.register("miner", 7);
    time.spawn("chain", chain.clone().produce(faults.clone()));
    let link = ChainLink::new(chain, "miner".to_owned(), faults);
    time.run(1, async move { contract::chain(&link, &[b'a'; 128]).await });
    time.end();
}

#[test]
fn the_simulated_beacon_keeps_the_contract() {
    let time = VirtualTime::default();
    let beacon = Rc::new(SimBeacon::new(1));
    let due = beacon.newest_round(0);
    let link = BeaconLink::new(beacon, time.clone(), Rc::new(FaultPlan::default()), 1);
    time.run(1, async move { contract::beacon(&link, due, due + 1000).await });
}

#[test]
fn the_simulated_bucket_keeps_the_contract() {
    let time = VirtualTime::default();
    let link = BucketLink::new(SimBucket::default(), time.clone(), Rc::new(FaultPlan::default()), 1);
    time.run(1, async move { contract::bucket(&link, "grail/windows/x").await });
}

#[test]
fn both_simulated_engines_keep_the_contract() {
    let toy = CpuEngine::toy().expect("the embedded model loads");
    let generators: [Rc<dyn Generator>; 2] = [Rc::new(SyntheticModel::default()), Rc::new(toy)];
    for generator in generators {
        let time = VirtualTime::default();
        let problem = Problem::canonical("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "0xab", 0);
        let stream = |rollout| StreamKey { seed: 1, window_start: 0, group: 0, rollout, attempt: 0 };
        let request = GenerateRequest {
            prompt: generator.tokenizer().encode(&prompt(&problem)),
            streams: (0..4).map(stream).collect(),
            randomness: "ab".to_owned(),
            new_tokens_max: 400,
        };
        let speed = EngineSpeed::named("a100").expect("a known speed");
        let engine = SimEngine::new(time.clone(), generator, speed, Rc::new(FaultPlan::default()));
        time.run(1, async move { contract::deterministic_engine(&engine, &request).await });
    }
}

#[test]
fn the_simulated_journals_and_the_keypair_keep_their_contracts() {
    let keypair = Keypair::from_seed(&[3; 32]);
    contract::signer(&keypair);
    let records = [
        JournalRecord::Window(context(&keypair)),
        JournalRecord::UploadStarted { window_start: 30, digest: "ef".to_owned(), groups: 0 },
        JournalRecord::UploadDone { window_start: 30, digest: "ef".to_owned() },
    ];
    let audit = Audit::default();
    let time = VirtualTime::default();
    let journals: [Box<dyn Journal>; 3] = [
        Box::new(MemoryJournal::default()),
        Box::new(DiskJournal::new(time.clone(), Rc::new(FaultPlan::default()), audit.clone(), 1)),
        Box::new(AuditedJournal { journal: MemoryJournal::default(), audit: Audit::default() }),
    ];
    for journal in journals {
        let records = records.clone();
        time.run(1, async move { contract::journal(&*journal, &records).await });
    }
    assert_eq!(audit.violations(), []);
}

fn context(keypair: &Keypair) -> WindowContext {
    WindowContext {
        hotkey: keypair.hotkey(),
        window_start: 30,
        block_hash: format!("0x{}", "ab".repeat(32)),
        randomness: "cd".repeat(32),
        use_drand: true,
    }
}

/// Seed 730: the disk was full before it had synced what was written earlier, and the audit heard of the later record first.
#[test]
fn an_audit_hears_of_records_in_the_order_in_which_they_were_written() {
    let fault = |kind, from_ms, strength| Fault { kind, from_ms, until_ms: 9_000, strength, window_start: 30 };
    let plan = [fault(FaultKind::SlowDisk, 0, 5_000), fault(FaultKind::DiskFull, 1_000, 1)];
    let (time, audit) = (VirtualTime::default(), Audit::default());
    let journal = DiskJournal::new(time.clone(), Rc::new(FaultPlan::scheduled(plan.to_vec())), audit.clone(), 1);
    journal.hold(&JournalRecord::Window(context(&Keypair::from_seed(&[3; 32]))));
    let started = JournalRecord::UploadStarted { window_start: 30, digest: "ef".to_owned(), groups: 0 };
    let why = "the bucket refused".to_owned();
    let abandoned = JournalRecord::UploadAbandoned { window_start: 30, digest: "ef".to_owned(), why };
    let clock = time.clone();
    let (synced, refused, kept) = time.run(1, async move {
        let later = async {
            clock.sleep(2_000).await;
            journal.append(&abandoned).await
        };
        let (synced, refused) = join(journal.append(&started), later).await;
        (synced, refused, journal.load().await.expect("it is in memory"))
    });
    assert!(synced.is_ok() && refused.is_err());
    assert_eq!(kept.len(), 2, "what the disk had no space for is not on it: {kept:?}");
    assert_eq!(audit.violations(), []);
}
