//! The machine under random sequences of events, in and out of order: what it must never do.
//!
//! A script answers the machine's questions in any order with any outcome, moves blocks and time, and replaces blocks.
//! Every upload is checked with the verifier, everything else against a plain record of what was asked and answered.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use grail_miner::machine::{
    Action, Event, GroupId, GroupRequest, JournalEntry, Machine, MachineSecrets, MachineSettings, Report, Timer,
    WindowOutcome,
};
use grail_miner::ports::{
    BeaconError, BeaconRound, BucketError, ChainError, CommitError, Etag, Head, JournalError, Now,
};
use grail_miner::seal::seal;
use grail_protocol::generation::ProofModel;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::rollout::GroupOrigin;
use grail_protocol::signature::Keypair;
use grail_sim::engine::Generator;
use grail_sim::synthetic::SyntheticModel;
use grail_verify::{Recomputed, Scope, Verdict, WindowFacts, verify_bytes};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use sha2::{Digest, Sha256};

const FIRST_HEAD: u64 = 2_999_998;

/// One step of a script; numbers choose among the possible steps.
#[derive(Debug, Clone)]
enum Step {
    Answer { which: u8, how: u8 },
    Block { after_ms: u16 },
    Wait { ms: u16 },
    ReplaceFirstBlock,
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Step::Answer { which, how }),
        4 => (0u16..20_000).prop_map(|after_ms| Step::Block { after_ms }),
        2 => (0u16..20_000).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::ReplaceFirstBlock),
        1 => prop_oneof![1 => Just(Step::Shutdown), 30 => Just(Step::Wait { ms: 100 })],
    ]
}

/// The world of one script.
struct Harness {
    machine: Machine,
    keypair: Keypair,
    model: Rc<SyntheticModel>,
    now_ms: u64,
    head: u64,
    /// How often each window's first block was replaced.
    replaced: BTreeMap<u64, u64>,
    questions: Vec<Action>,
    timers: BTreeMap<Timer, u64>,
    /// The bucket's objects: key to bytes and version.
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    in_flight: BTreeSet<GroupId>,
    ordered: BTreeMap<(u64, u32), u32>,
    seen_digests: BTreeSet<String>,
    receipts: Vec<u64>,
    exited: bool,
}

impl Harness {
    fn new() -> Self {
        let keypair = Keypair::from_seed(&[9; 32]);
        let settings = MachineSettings {
            groups_in_flight_max: 3,
            early_upload_ms: Some(30_000),
            groups_max: Some(8),
            ..MachineSettings::new(keypair.hotkey())
        };
        let secrets = MachineSecrets { seed: 0, read_credentials: vec![b'c'; 128] };
        Self {
            machine: Machine::new(settings, secrets),
            keypair,
            model: Rc::new(SyntheticModel::default()),
            now_ms: 0,
            head: FIRST_HEAD,
            replaced: BTreeMap::new(),
            questions: Vec::new(),
            timers: BTreeMap::new(),
            objects: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            ordered: BTreeMap::new(),
            seen_digests: BTreeSet::new(),
            receipts: Vec::new(),
            exited: false,
        }
    }

    fn hash(&self, block: u64) -> String {
        format!("0x{}", hex::encode(Sha256::digest(format!("{block}/{:?}", self.replaced.get(&block)))))
    }

    fn tell(&mut self, event: Event) {
        let now = Now { monotonic_ms: self.now_ms, wall_ms: 1_758_700_800_000 + self.now_ms };
        for action in self.machine.handle(now, event) {
            self.note(action);
        }
    }

    /// Checks an action against everything that must never happen, and remembers it if it is a question.
    fn note(&mut self, action: Action) {
        match &action {
            Action::SetTimer { timer, at_ms } => {
                self.timers.insert(*timer, *at_ms);
            }
            Action::ClearTimer(timer) => {
                self.timers.remove(timer);
            }
            Action::CancelGroup(id) => {
                assert!(self.in_flight.remove(id), "{id:?} was canceled without being in flight");
                self.questions.retain(|question| !matches!(question, Action::Generate(order) if order.id == *id));
            }
            Action::Generate(order) => {
                self.check_order(order);
                self.questions.push(action);
            }
            Action::Upload { window_start, bytes, .. } => {
                self.check_upload(*window_start, bytes);
                self.questions.push(action);
            }
            Action::Commit(_) => {
                let pending = self.questions.iter().any(|question| matches!(question, Action::Commit(_)));
                assert!(!pending, "a second commitment while one is pending");
                self.questions.push(action);
            }
            Action::WatchHead { .. } => {
                self.questions.retain(|question| !matches!(question, Action::WatchHead { .. }));
                self.questions.push(action);
            }
            Action::Report(Report::Receipt(receipt)) => {
                assert!(!self.receipts.contains(&receipt.window_start), "a window ended twice");
                self.receipts.push(receipt.window_start);
                if receipt.outcome == WindowOutcome::Uploaded {
                    let digest = receipt.digest.as_ref().expect("an uploaded file has a digest");
                    assert!(self.seen_digests.contains(digest), "success was claimed for a file nobody read back");
                }
            }
            Action::Report(_) | Action::ReconnectChain => {}
            Action::Exit => self.exited = true,
            _ => self.questions.push(action),
        }
    }

    fn check_order(&mut self, order: &GroupRequest) {
        let id = &order.id;
        assert!(self.in_flight.insert(id.clone()), "{id:?} is in flight already");
        assert!(self.in_flight.len() <= 3, "more groups in flight than the engine takes");
        assert!(id.index < 8, "more groups than asked for");
        let ordered = self.ordered.entry((id.window_start, id.generation)).or_default();
        assert!(id.index <= *ordered, "group {} was ordered before {ordered}", id.index);
        *ordered = (*ordered).max(id.index + 1);
        if let Some(deadline_ms) = self.timers.get(&Timer::UploadDeadline) {
            assert!(self.now_ms < *deadline_ms, "a group was started at its window's deadline");
        }
    }

    fn check_upload(&self, window_start: u64, bytes: &[u8]) {
        let uploading = |question: &&Action| matches!(question, Action::Upload { .. });
        assert_eq!(self.questions.iter().filter(uploading).count(), 0, "two uploads at a time");
        let hotkey = self.keypair.hotkey().to_ss58();
        let facts = WindowFacts {
            validator_hotkey: hotkey.clone(),
            hotkey,
            window_start,
            block_hash: self.hash(window_start),
            challenge_randomness: "5a".repeat(32),
            limits: self.model.limits(),
        };
        let recompute = Recomputed::new(self.model.clone());
        let report = verify_bytes(bytes, &facts, self.model.tokenizer(), &recompute, Scope::Everything);
        let report = report.expect("an upload is a window file");
        let Verdict::Accepted { metrics, .. } = report.verdict else {
            panic!("an upload that the verifier rejects: {:?}", report.verdict);
        };
        assert!(metrics.total > 0 && metrics.valid == metrics.total, "{metrics:?}");
    }

    fn run(&mut self, script: &[Step]) {
        self.tell(Event::Started(Vec::new()));
        for step in script {
            if self.exited {
                break;
            }
            match step {
                Step::Answer { which, how } if !self.questions.is_empty() => {
                    let question = self.questions.remove(usize::from(*which) % self.questions.len());
                    if let Some(event) = self.answer(question, *how) {
                        self.tell(event);
                    }
                }
                Step::Answer { .. } => {}
                Step::Block { after_ms } => {
                    self.pass(u64::from(*after_ms));
                    self.head += 1;
                }
                Step::Wait { ms } => self.pass(u64::from(*ms)),
                Step::ReplaceFirstBlock => {
                    // A block is replaced only while it is young.
                    if self.head % 30 < 3 {
                        *self.replaced.entry(self.head / 30 * 30).or_default() += 1;
                    }
                }
                Step::Shutdown => self.tell(Event::Shutdown),
            }
        }
    }

    /// Advances time, firing due timers in order.
    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some((&timer, &at_ms)) = self.timers.iter().min_by_key(|(_, at_ms)| **at_ms) {
            if at_ms > until_ms || self.exited {
                break;
            }
            self.timers.remove(&timer);
            self.now_ms = self.now_ms.max(at_ms);
            self.tell(Event::TimerFired(timer));
        }
        self.now_ms = self.now_ms.max(until_ms);
    }

    /// Returns an answer to a question: mostly a success, otherwise one of its failures.
    fn answer(&mut self, question: Action, how: u8) -> Option<Event> {
        let good = how >= 64;
        let unreachable = || ChainError::Unreachable("script".to_owned());
        Some(match question {
            Action::WatchHead { after } if self.head > after && good => Event::HeadMoved(Head { number: self.head }),
            Action::WatchHead { .. } if how < 8 => Event::HeadFailed(unreachable()),
            // An endpoint that lies, in either direction.
            Action::WatchHead { .. } if how < 12 => Event::HeadMoved(Head { number: self.head + 1_000 }),
            Action::WatchHead { after } if how < 16 && after > 0 => Event::HeadMoved(Head { number: self.head - 500 }),
            question @ Action::WatchHead { .. } => {
                self.questions.push(question);
                return None;
            }
            Action::ReadBlockHash(block) => Event::BlockHashRead {
                block,
                result: match how {
                    0..32 => Err(unreachable()),
                    32..48 => Ok(None),
                    _ => Ok((block <= self.head).then(|| self.hash(block))),
                },
            },
            Action::FetchBeacon(round) => Event::BeaconAnswered {
                round,
                result: if good {
                    Ok(BeaconRound { round, randomness: "1f".repeat(32) })
                } else {
                    Err(BeaconError::Unreachable("script".to_owned()))
                },
            },
            Action::ReadRegistration => Event::RegistrationRead(if good { Ok(Some(3)) } else { Err(unreachable()) }),
            Action::ReadCommitment => Event::CommitmentRead(match how {
                0..64 => Err(unreachable()),
                64..128 => Ok(None),
                _ => Ok(Some(vec![b'c'; 128])),
            }),
            Action::Commit(_) => Event::CommitmentAnswered(match how {
                0..64 => Err(CommitError::Unknown("script".to_owned())),
                64..80 => Err(CommitError::Refused("script".to_owned())),
                _ => Ok(()),
            }),
            Action::AppendJournal { entry, .. } => Event::JournalAnswered {
                result: if good || !matches!(entry, JournalEntry::Group(_)) {
                    Ok(())
                } else {
                    Err(JournalError("script".to_owned()))
                },
                entry,
            },
            Action::Generate(order) => self.group(*order, good),
            Action::Upload { window_start, key, bytes, .. } => {
                let result = self.put(key, bytes, how);
                Event::UploadAnswered { window_start, result }
            }
            Action::ReadObject { window_start, key } => Event::ObjectRead {
                window_start,
                result: if good { Ok(self.read(&key)) } else { Err(BucketError::Unknown("script".to_owned())) },
            },
            Action::DeleteObject { window_start, key } => {
                if good {
                    self.objects.remove(&key);
                }
                let result = if good { Ok(()) } else { Err(BucketError::Transient("script".to_owned())) };
                Event::ObjectDeleted { window_start, result }
            }
            other => panic!("{other:?} is not a question"),
        })
    }

    fn group(&mut self, order: GroupRequest, good: bool) -> Event {
        let group = order.id.clone();
        assert!(self.in_flight.remove(&group));
        if !good {
            return Event::GroupFailed { group, why: "script".to_owned() };
        }
        let problem = Problem::canonical(&order.window.hotkey.to_ss58(), &order.window.block_hash, group.index);
        let wanted = order.wanted();
        let request = order.generation(self.model.tokenizer().encode(&prompt(&problem)), &wanted, order.seed);
        let mut rollouts = order.kept.clone();
        rollouts.extend(wanted.into_iter().zip(self.model.generate(&request).expect("the formula always answers")));
        let origin = GroupOrigin { group: group.index, block: order.block, timestamp: self.now_ms as f64 / 1000.0 };
        let generated = rollouts.into_values().collect();
        let (limits, tokenizer) = (self.model.limits(), self.model.tokenizer());
        let sealed = seal(&order.window, origin, generated, limits, tokenizer, &self.keypair);
        Event::GroupReady { group, sealed: Box::new(sealed.expect("a whole group")) }
    }

    fn put(&mut self, key: String, bytes: Vec<u8>, how: u8) -> Result<Etag, BucketError> {
        let version = self.objects.len() as u64 * 1000 + self.now_ms;
        match how {
            0..24 => Err(BucketError::Transient("script".to_owned())),
            24..40 => Err(BucketError::Unknown("not written".to_owned())),
            40..64 => {
                self.objects.insert(key, (bytes, version));
                Err(BucketError::Unknown("written".to_owned()))
            }
            64..68 => Err(BucketError::Refused("script".to_owned())),
            _ => {
                self.objects.insert(key, (bytes, version));
                Ok(Etag(version.to_string()))
            }
        }
    }

    fn read(&mut self, key: &str) -> Option<(String, Etag)> {
        let (bytes, version) = self.objects.get(key)?;
        let digest = hex::encode(Sha256::digest(bytes));
        self.seen_digests.insert(digest.clone());
        Some((digest, Etag(version.to_string())))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_forbidden_happens_in_any_order_of_events(script in prop::collection::vec(step(), 50..600)) {
        Harness::new().run(&script);
    }
}

#[test]
fn scripts_of_this_kind_reach_uploads_and_receipts() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(step(), 600);
    let (mut read_back, mut receipts, mut exits) = (0, 0, 0);
    for _ in 0..40 {
        let script = strategy.new_tree(&mut runner).expect("scripts can be drawn").current();
        let mut harness = Harness::new();
        harness.run(&script);
        read_back += harness.seen_digests.len();
        receipts += harness.receipts.len();
        exits += usize::from(harness.exited);
    }
    assert!(read_back > 20 && receipts > 60 && exits > 3, "{read_back} read back, {receipts} receipts, {exits} exits");
}
