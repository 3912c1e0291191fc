//! Every recorded verdict through the live path: the file in a bucket, the validator's core and driver, the thread that
//! judges.

use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use grail_golden::{VerdictVectors, verdict_value};
use grail_live::bucket::{AccessKey, BucketConfig, S3Bucket};
use grail_live::clock::SystemClock;
use grail_live::validator::{JudgeThread, MinersBuckets, ReadFrom};
use grail_loopback::s3::{BUCKET, READ, S3Server, WRITE, block_on};
use grail_miner::ports::{Bucket, PutCondition};
use grail_protocol::generation::ProofModel;
use grail_protocol::python_json;
use grail_protocol::window_file::object_key;
use grail_validator::driver::{Limits, Observer, Ports, run};
use grail_validator::ports::{
    Beacon, BeaconError, BeaconRound, Chain, ChainError, Head, Journal, JournalError, Neuron, Now, SubmitError,
    WeightsState,
};
use grail_validator::{Action, Event, JournalRecord, MinerReceipt, Outcome, Report, Settings, Validator};
use grail_verify::{Scope, Verdict, WindowFacts, verify_value};
use tokio::sync::Notify;

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

impl Observer for Found {
    fn event(&mut self, _: Now, event: &Event) {
        if let Event::Judged { result, .. } = event {
            self.verdicts.push(result.clone().unwrap().verdict);
        }
    }

    fn action(&mut self, _: Now, action: &Action) {
        match action {
            Action::Report(Report::Miner(receipt)) => self.receipts.push((**receipt).clone()),
            Action::Report(Report::Window(_)) => self.is_done.notify_one(),
            _ => {}
        }
    }

    fn handled(&mut self, _: Now, _: &Validator) {}
}

#[test]
fn every_recorded_file_in_a_bucket_has_the_verdict_that_grail_verify_gives_it() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let VerdictVectors { facts, model, cases } = VerdictVectors::read(&fixtures).unwrap();
    assert!(cases.len() >= 98, "{} cases", cases.len());
    let address = facts.validator_hotkey.clone();
    let again = fixtures.clone();
    let judge = JudgeThread::start::<std::io::Error>(address.clone(), move || {
        Ok(Rc::new(VerdictVectors::read(&again).unwrap().model))
    });
    let judge = Rc::new(judge.unwrap());
    let server = S3Server::start();
    let key = |(id, secret): (&str, &str)| AccessKey::new(id, secret);
    let bucket = BucketConfig::s3(server.url(), BUCKET, "us-east-1", key(WRITE), key(READ));
    let bucket = S3Bucket::new(bucket).unwrap();
    let object = object_key(&facts.hotkey, facts.window_start);
    let from = ReadFrom::Server { endpoint: server.url(), region: "us-east-1".to_owned() };
    let committed = format!("{BUCKET:<32}{:<32}{:<64}", READ.0, READ.1).into_bytes();
    let world = Rc::new(OneMiner { facts: facts.clone(), committed });
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
        recompute: judge,
        journal: selected,
    };
    let settings = Settings { dry_run: true, ..Settings::new(address, facts.limits) };
    for case in cases {
        let found = block_on(async {
            bucket.delete(&object).await.unwrap();
            let packed = packed(&case.document);
            bucket.put(&object, &packed, &PutCondition::Absent, 10_000).await.unwrap();
            let mut found = Found::default();
            let is_done = found.is_done.clone();
            let stop = Box::pin(async move { is_done.notified().await });
            let limits = Limits::for_block_ms(12_000);
            run(Validator::new(settings.clone()), ports.clone(), limits, &mut found, stop).await;
            found
        });
        let document = python_json::parse(&case.document).unwrap();
        let verified = verify_value(&document, &facts, model.tokenizer(), &model, Scope::Validator).verdict;
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

/// Returns a text as it is uploaded.
fn packed(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}
