//! After a panic anywhere the window has a receipt, the process ends with its own code, and the next one continues.
//!
//! The miner runs in its own process, which is this test's program once more: there the ports can be wrapped.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use clap::Parser;
use grail::args::{Arguments, Command as Subcommand};
use grail::commands::mine_through;
use grail::exit::Exit;
use grail_cuda::ProofWatch;
use grail_engine::CpuEngine;
use grail_live::engine::CpuWorker;
use grail_miner::driver::Ports;
use grail_miner::ports::{
    Beacon, BeaconError, BeaconRound, Bucket, BucketError, Chain, ChainError, CommitError, Engine, Etag, Head, Journal,
    JournalError, JournalRecord, PutCondition, Signer,
};
use grail_protocol::signature::Hotkey;
use serde_json::Value;

use super::scene::Scene;
use grail_loopback::schema::assert_valid;

/// Place of the planted panic, and the miner's arguments.
const PLACE_VARIABLE: &str = "GRAIL_TEST_PANIC_IN";
const ARGUMENTS_VARIABLE: &str = "GRAIL_TEST_PANIC_ARGUMENTS";
/// On the event loop, in an adapter that has no thread; and on the thread of one that has.
const PLACES: [&str; 7] =
    ["chain", "beacon", "bucket", "signer", "engine's thread", "journal's thread", "sink's thread"];

/// Panics once it is armed.
#[derive(Clone)]
struct Planted {
    place: String,
    is_armed: Rc<Cell<bool>>,
}

impl Planted {
    /// On this thread.
    fn here(&self, place: &str) {
        assert!(!(self.place == place && self.is_armed.get()), "planted in the {place}");
    }

    /// On its own thread, as a panic of an adapter's thread looks from here.
    fn aside(&self, place: &'static str) {
        if self.place == place && self.is_armed.take() {
            std::thread::Builder::new().name(place.to_owned()).spawn(move || panic!("planted in the {place}")).unwrap();
        }
    }
}

/// A port with the panic before it.
struct Before<P: ?Sized>(Rc<P>, Planted);

#[async_trait(?Send)]
impl Chain for Before<dyn Chain> {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        let head = self.0.next_head(after).await;
        self.1.here("chain");
        self.1.aside("sink's thread");
        head
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        self.0.block_hash(block).await
    }

    async fn registration(&self) -> Result<Option<u16>, ChainError> {
        self.0.registration().await
    }

    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
        self.0.commitment().await
    }

    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        self.0.commit(credentials).await
    }

    async fn reconnect(&self) {
        self.0.reconnect().await;
    }
}

#[async_trait(?Send)]
impl Beacon for Before<dyn Beacon> {
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError> {
        self.1.here("beacon");
        self.0.round(round).await
    }
}

#[async_trait(?Send)]
impl Bucket for Before<dyn Bucket> {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError> {
        self.1.here("bucket");
        self.0.put(key, bytes, condition, limit_ms).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        self.0.get(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.0.delete(key).await
    }
}

#[async_trait(?Send)]
impl Journal for Before<dyn Journal> {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.1.aside("journal's thread");
        let appended = self.0.append(record).await;
        // From the first clean group on there is something to lose.
        if matches!(record, JournalRecord::Group { .. }) {
            self.1.is_armed.set(true);
        }
        appended
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.0.load().await
    }
}

impl Signer for Before<dyn Signer> {
    fn hotkey(&self) -> Hotkey {
        self.0.hotkey()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.1.here("signer");
        self.0.sign(message)
    }
}

fn planted(ports: Ports, place: &str) -> Ports {
    // The beacon is asked before there is any group, and the engine's thread cannot look into a cell.
    let at_once = ["beacon", "engine's thread"].contains(&place);
    let planted = Planted { place: place.to_owned(), is_armed: Rc::new(Cell::new(at_once)) };
    let engine: Rc<dyn Engine> = match place {
        "engine's thread" => {
            let watch: ProofWatch = Arc::new(|_, _| panic!("planted in the engine's thread"));
            Rc::new(CpuWorker::start_watched(CpuEngine::toy().unwrap(), watch).unwrap())
        }
        _ => ports.engine.clone(),
    };
    Ports {
        chain: Rc::new(Before(ports.chain, planted.clone())),
        beacon: Rc::new(Before(ports.beacon, planted.clone())),
        bucket: Rc::new(Before(ports.bucket, planted.clone())),
        journal: Rc::new(Before(ports.journal, planted.clone())),
        signer: Rc::new(Before(ports.signer, planted)),
        engine,
        ..ports
    }
}

/// The miner's process; as its own test it does nothing.
#[test]
fn a_miner_with_a_planted_panic() {
    let Ok(place) = std::env::var(PLACE_VARIABLE) else { return };
    grail_terminal::defect::watch();
    let arguments = std::env::var(ARGUMENTS_VARIABLE).unwrap();
    let arguments = Arguments::parse_from(arguments.split('\n'));
    let Subcommand::Mine(mine) = &arguments.command else { panic!("another command") };
    let exit = mine_through(mine, arguments.verbose, &|ports| planted(ports, &place));
    std::process::exit(exit.code().into());
}

/// Returns its exit code and output.
fn ended_by_a_panic(scene: &Scene, place: &str) -> (Option<i32>, String) {
    let (env_file, data) = (scene.served.env_file().to_str().unwrap(), scene.data.path().to_str().unwrap());
    let arguments = "grail -v mine --json --device cpu --groups-max 2".split(' ');
    let arguments: Vec<&str> = arguments.chain(["--env-file", env_file, "--data-dir", data]).collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env_clear().env("HOME", scene.data.path()).env(PLACE_VARIABLE, place);
    command.env(ARGUMENTS_VARIABLE, arguments.join("\n"));
    command.args(["--exact", "mine::defects::a_miner_with_a_planted_panic", "--nocapture", "--test-threads", "1"]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn kept(data: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("receipts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lived_through(number: u64, place: &str) {
    let scene = Scene::new(640 + number);
    let (code, stderr) = ended_by_a_panic(&scene, place);
    assert_eq!(code, Some(Exit::Defect.code().into()), "{place}: {stderr}");
    let what = format!("planted in the {place}");
    assert!(stderr.contains("panicked at") && stderr.contains(&what) && stderr.contains("report"), "{place}: {stderr}");
    let receipts = kept(scene.data.path());
    let last = receipts.last().unwrap_or_else(|| panic!("{place}: no receipt\n{stderr}"));
    assert_valid(last, "receipt.v1");
    assert_eq!(
        (&last["outcome"], last["why"].as_str().map(|why| why.contains(&what))),
        (&"interrupted".into(), Some(true))
    );
    let window = last["window"].as_u64().unwrap();
    // The journal is intact, and the next process continues with it.
    let groups = scene.groups_journaled(window);
    let had_groups = stderr.contains(&format!("window {window}: group "));
    assert!(groups > 0 || !had_groups, "{place}: {stderr}");
    // One may be journaled that the core had not heard of.
    let reported = last["groups_clean"].as_u64().unwrap() as usize;
    assert!((groups.saturating_sub(1)..=groups).contains(&reported), "{place}: {groups} groups, {last}");
    let miner = scene.mine(&["--groups-max", "2"]);
    let accepted = (0..4).map(|_| scene.verdict()).find(|verdict| verdict.is_accepted());
    let accepted = accepted.unwrap_or_else(|| panic!("{place}: nothing is accepted afterwards\n{}", miner.log()));
    assert!(!miner.log().contains("the journal is damaged"), "{place}: {}", miner.log());
    miner.given_receipt(accepted.judgment.window_start);
    assert!(miner.stop().status.success(), "{place}");
    // No window has more than one receipt that claims to be its last.
    let (kept, mut windows) = (kept(scene.data.path()), BTreeSet::new());
    let mut claiming = kept.iter().filter(|receipt| receipt["outcome"] != "interrupted");
    assert!(claiming.all(|receipt| windows.insert(receipt["window"].as_u64().unwrap())), "{place}: {kept:?}");
}

#[test]
fn a_panic_in_any_adapter_ends_in_a_receipt_and_the_next_process_continues() {
    let numbered: Vec<(u64, &str)> = (0..).zip(PLACES).collect();
    for chunk in numbered.chunks(4) {
        std::thread::scope(|scope| {
            for (number, place) in chunk {
                scope.spawn(move || lived_through(*number, place));
            }
        });
    }
}
