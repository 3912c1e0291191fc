//! Every recorded verdict through the live path: the file in a bucket, the validator's core and driver, the thread that
//! judges.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use grail_golden::{VerdictVector, VerdictVectors, verdict_value};
use grail_live::bucket::S3Bucket;
use grail_live::clock::SystemClock;
use grail_live::validator::{JudgeThread, MinersBuckets, Published, Publisher, ReadFrom};
use grail_loopback::s3::{READ, S3Server, WRITE, block_on};
use grail_miner::ports::{Bucket, PutCondition};
use grail_protocol::generation::ProofModel;
use grail_protocol::python_json::{self, Value};
use grail_protocol::window_file::{object_key, unpack_object};
use grail_validator::driver::{Limits, Observer, Observers, Ports, run};
use grail_validator::ports::{
    Beacon, BeaconError, BeaconRound, Chain, ChainError, Head, Journal, JournalError, Neuron, Now, SubmitError,
    WeightsState,
};
use grail_validator::{Action, Event, JournalRecord, MinerReceipt, Outcome, Report, Settings, Validator};
use grail_verify::{Scope, Verdict, WindowFacts, verify_value};
use tokio::sync::Notify;

use super::bucket::{bucket, committed, config};

const UID: u16 = 7;

/// A chain that has just ended the window, with one miner.
struct OneMiner {
    facts: WindowFacts,
    committed: Vec<u8>,
}

#[async_trait(?Send)]
impl Chain for OneMiner {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        let number = self.facts.window_start + 31;
        if after >= number { std::future::pending().await } else { Ok(Head { number }) }
    }

    async fn block_hash(&self, _: u64) -> Result<Option<String>, ChainError> {
        Ok(Some(self.facts.block_hash.clone()))
    }

    async fn metagraph(&self) -> Result<Vec<Neuron>, ChainError> {
        let committed = Some(self.committed.clone());
        Ok(vec![Neuron { uid: UID, hotkey: self.facts.hotkey.clone(), committed }])
    }

    async fn weights(&self) -> Result<WeightsState, ChainError> {
        Ok(WeightsState::default())
    }

    async fn set_weights(&self, _: &[(u16, u16)]) -> Result<(), SubmitError> {
        unreachable!("nothing is set in a dry run")
    }

    async fn reconnect(&self) {}
}

#[async_trait(?Send)]
impl Beacon for OneMiner {
    async fn round(&self, _: u64) -> Result<BeaconRound, BeaconError> {
        unreachable!("the challenge is in the journal")
    }
}

/// The selection of the window, with the recorded challenge.
struct Selected(JournalRecord);

#[async_trait(?Send)]
impl Journal for Selected {
    async fn append(&self, _: &JournalRecord) -> Result<(), JournalError> {
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        Ok(vec![self.0.clone()])
    }
}

/// What the validator decided.
#[derive(Default)]
struct Found {
    verdicts: Vec<Option<Verdict>>,
    receipts: Vec<MinerReceipt>,
    is_done: Rc<Notify>,
}

/// An observer that is read afterwards.
struct Shared(Rc<RefCell<Found>>);

impl Observer for Shared {
    fn event(&mut self, _: Now, event: &Event) {
        if let Event::Judged { result, .. } = event {
            self.0.borrow_mut().verdicts.push(result.clone().unwrap().verdict);
        }
    }

    fn action(&mut self, _: Now, action: &Action) {
        match action {
            Action::Report(Report::Miner(receipt)) => self.0.borrow_mut().receipts.push((**receipt).clone()),
            Action::Report(Report::Window(_)) => self.0.borrow().is_done.notify_one(),
            _ => {}
        }
    }

    fn handled(&mut self, _: Now, _: &Validator) {}
}

/// The recorded window in a bucket, and the ports of a validator that judges it.
struct Setting {
    vectors: VerdictVectors,
    server: S3Server,
    bucket: S3Bucket,
    ports: Ports,
    settings: Settings,
}

impl Setting {
    fn new() -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let vectors = VerdictVectors::read(&fixtures).unwrap();
        let facts = vectors.facts.clone();
        let server = S3Server::start();
        let bucket = bucket(&server);
        let from = ReadFrom::Server { endpoint: server.url(), region: "us-east-1".to_owned() };
        let world = Rc::new(OneMiner { facts: facts.clone(), committed: committed(READ) });
        let selected = Rc::new(Selected(JournalRecord::Selected {
            window_start: facts.window_start,
            block_hash: facts.block_hash.clone(),
            challenge_randomness: facts.challenge_randomness.clone(),
            active: 1,
            miners: vec![(UID, facts.hotkey.clone())],
        }));
        let ports = Ports {
            clock: Rc::new(SystemClock::new()),
            chain: world.clone(),
            beacon: world,
            store: Rc::new(MinersBuckets::new(from, 10_000).unwrap()),
            recompute: Rc::new(judge(&fixtures, &facts)),
            journal: selected,
        };
        let settings = Settings { dry_run: true, ..Settings::new(facts.validator_hotkey, facts.limits) };
        Self { vectors, server, bucket, ports, settings }
    }

    /// Uploads a file for the miner, and lets the validator judge the window.
    fn judged(&self, document: &[u8], publisher: Option<Publisher>) -> Found {
        let WindowFacts { hotkey, window_start, .. } = &self.vectors.facts;
        let object = object_key(hotkey, *window_start);
        block_on(async {
            self.bucket.delete(&object).await.unwrap();
            self.bucket.put(&object, &packed(document), &PutCondition::Absent, 10_000).await.unwrap();
            let found = Rc::new(RefCell::new(Found::default()));
            let is_done = found.borrow().is_done.clone();
            let stop = Box::pin(async move { is_done.notified().await });
            let limits = Limits::for_block_ms(12_000);
            let mut observers = Observers(vec![Box::new(Shared(found.clone()))]);
            observers.0.extend(publisher.map(|publisher| Box::new(publisher) as _));
            let validator = Validator::new(self.settings.clone());
            run(validator, self.ports.clone(), limits, &mut observers, stop).await;
            drop(observers);
            Rc::into_inner(found).unwrap().into_inner()
        })
    }
}

fn judge(fixtures: &Path, facts: &WindowFacts) -> JudgeThread {
    let fixtures = fixtures.to_owned();
    let model = move || Ok(Rc::new(VerdictVectors::read(&fixtures).unwrap().model) as Rc<dyn ProofModel>);
    JudgeThread::start::<std::io::Error>(facts.validator_hotkey.clone(), model).unwrap()
}

#[test]
fn every_recorded_file_in_a_bucket_has_the_verdict_that_grail_verify_gives_it() {
    let setting = Setting::new();
    let VerdictVectors { facts, model, cases } = &setting.vectors;
    assert!(cases.len() >= 98, "{} cases", cases.len());
    for case in cases {
        let found = setting.judged(&case.document, None);
        let document = python_json::parse(&case.document).unwrap();
        let verified = verify_value(&document, facts, model.tokenizer(), model, Scope::Validator).verdict;
        assert_eq!(found.verdicts, [Some(verified.clone())], "{}", case.name);
        assert_eq!(verdict_value(&verified), case.expected, "{}", case.name);
        let [receipt] = &found.receipts[..] else { panic!("{}: {:?}", case.name, found.receipts) };
        assert_eq!(receipt.outcome.name(), verified.outcome(), "{}", case.name);
        assert_eq!(receipt.metrics, verified.metrics(), "{}", case.name);
        if let Verdict::Rejected { failure, .. } = &verified {
            let of_receipt = (receipt.check, receipt.reason, receipt.rollout);
            assert_eq!(of_receipt, (Some(failure.check), Some(failure.reason), failure.rollout), "{}", case.name);
            assert!(receipt.remedy.is_some(), "{}", case.name);
        }
        assert_ne!(receipt.outcome, Outcome::NotJudged);
    }
}

#[test]
fn valid_rollouts_of_an_accepted_file_are_published_once_and_those_of_a_rejected_one_never() {
    let mut setting = Setting::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let (sender, outcomes) = std::sync::mpsc::channel();
    let key = "grail/valid_rollouts/300.json.gz";
    let documents = ["rejected", "accepted", "accepted"].map(|outcome| {
        let is_wanted = |case: &&VerdictVector| case.expected.get("outcome").and_then(Value::as_text) == Some(outcome);
        setting.vectors.cases.iter().find(is_wanted).unwrap().document.clone()
    });
    let mut published = Vec::new();
    for document in &documents {
        let sender = sender.clone();
        let config = config(&setting.server, WRITE, READ);
        let publisher = Publisher::start(config, move |outcome| sender.send(outcome).unwrap()).unwrap();
        let judge = judge(&fixtures, &setting.vectors.facts).publishing(Some(publisher.collector()));
        setting.ports.recompute = Rc::new(judge);
        let found = setting.judged(document, Some(publisher));
        // The publisher has ended with the run.
        let object = block_on(setting.bucket.get(key)).unwrap().map(|(bytes, _)| bytes);
        published.push((found.receipts[0].metrics.valid, object));
    }
    let [(_, None), (valid, Some(first)), (_, Some(second))] = &published[..] else { panic!("{published:?}") };
    assert_eq!(first, second, "what is published stays");
    let outcomes: Vec<Published> = outcomes.try_iter().collect();
    assert!(
        matches!(&outcomes[..], [Published::Done { window_start: 300, count, missing: 0 }, Published::Kept { .. }] if count == valid),
        "{outcomes:?}"
    );
    let content = unpack_object(first).unwrap();
    assert_eq!(content.get("window"), Some(&Value::from(300_u64)));
    assert_eq!(content.get("count"), Some(&Value::from(*valid)));
    assert!(content.get("timestamp").and_then(Value::as_number).unwrap() > 1.7e9);
    let rollouts = content.get("rollouts").and_then(Value::as_list).unwrap();
    assert!(*valid >= 4 && rollouts.len() == *valid, "{valid} valid, {} published", rollouts.len());
    let document = python_json::parse(&documents[1]).unwrap();
    let of_file = document.get("inferences").and_then(Value::as_list).unwrap();
    assert!(rollouts.iter().all(|rollout| of_file.contains(rollout)));
}

/// Returns a text as it is uploaded.
fn packed(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}
