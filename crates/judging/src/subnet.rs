//! The miners that a validator meets: what each uploads, and how its bucket behaves.

use grail_validator::answers::Neuron;

use crate::case::{JudgingCase, PERIOD_MS};
use crate::verdicts::Work;
use grail_protocol::PROTOCOL;
use grail_sim::rivals::Cheat;
use grail_sim::stream::{Stream, mix};

/// Uids change hands in the last blocks of a window's judging, when everybody has read them.
const CHANGE_BLOCKS: u64 = 28;

/// How a miner's bucket behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// It answers.
    Plain,
    /// It answers just before the validator gives up.
    Slow,
    /// It takes a question and never answers.
    SilentLook,
    /// It shows the file, and never hands it out.
    SilentFetch,
    /// It refuses the committed key.
    Forbidden,
    /// It shows the file, and then does not have it.
    Vanishing,
    /// It does not answer during the first two blocks after a window.
    AwayAtFirst,
    /// Nothing is committed.
    NotCommitted,
    /// What is committed is no read key.
    Garbage,
}

/// One hotkey.
#[derive(Debug, Clone)]
pub(crate) struct Neighbor {
    pub(crate) uid: u16,
    pub(crate) hotkey: String,
    pub(crate) bucket: Bucket,
    /// What it uploads where it does.
    usual: Work,
    /// It uploads nothing in one window of this many.
    absent_one_in: u64,
    /// It cheats in one window of this many.
    cheats_one_in: Option<(u64, Cheat)>,
    /// From and up to which block it has its uid.
    registered: (u64, u64),
}

/// Every hotkey of a subnet, past and future ones as well.
#[derive(Debug)]
pub(crate) struct Neighbors {
    seed: u64,
    all: Vec<Neighbor>,
}

impl Neighbors {
    pub(crate) fn of(case: &JudgingCase) -> Self {
        let owner = case.has_owner.then(|| Neighbor {
            uid: 0,
            hotkey: "owner".to_owned(),
            bucket: Bucket::NotCommitted,
            usual: Work::Honest(0),
            absent_one_in: 1,
            cheats_one_in: None,
            registered: (0, u64::MAX),
        });
        let mut all: Vec<Neighbor> = owner.into_iter().collect();
        for uid in 1..=case.hotkeys {
            let mut stream = Stream::new(case.seed, "judging/neighbor", uid);
            let changes = case.uids_change && stream.one_in(6);
            let period = stream.below(case.windows);
            let change = if changes { case.period(period).0 + CHANGE_BLOCKS } else { u64::MAX };
            all.push(Neighbor::drawn(case, uid as u16, 0, (0, change), &mut stream));
            if changes {
                all.push(Neighbor::drawn(case, uid as u16, 1, (change, u64::MAX), &mut stream));
            }
        }
        Self { seed: case.seed, all }
    }

    /// Returns the subnet's hotkeys at a block, by uid.
    pub(crate) fn metagraph(&self, block: u64) -> Vec<Neuron> {
        let present = self.all.iter().filter(|one| (one.registered.0..one.registered.1).contains(&block));
        let neuron = |one: &Neighbor| Neuron { uid: one.uid, hotkey: one.hotkey.clone(), committed: one.committed() };
        present.map(neuron).collect()
    }

    pub(crate) fn get(&self, hotkey: &str) -> Option<&Neighbor> {
        self.all.iter().find(|one| one.hotkey == hotkey)
    }

    /// Returns what a miner's bucket holds for a window.
    pub(crate) fn work(&self, hotkey: &str, window_start: u64) -> Option<Work> {
        let one = self.get(hotkey)?;
        let mut stream = Stream::new(self.seed, "judging/work", format!("{hotkey}/{window_start}"));
        if stream.one_in(one.absent_one_in) {
            return None;
        }
        match one.cheats_one_in.filter(|(one_in, _)| stream.one_in(*one_in)) {
            Some((_, cheat)) => Some(Work::Cheat(cheat)),
            None => Some(one.usual),
        }
    }
}

impl Neighbor {
    fn drawn(case: &JudgingCase, uid: u16, generation: u64, registered: (u64, u64), stream: &mut Stream) -> Self {
        let is_hostile = stream.below(100) < case.hostile_percent;
        let hostile = [
            Bucket::Plain,
            Bucket::Slow,
            Bucket::SilentLook,
            Bucket::SilentFetch,
            Bucket::Forbidden,
            Bucket::Vanishing,
            Bucket::AwayAtFirst,
            Bucket::NotCommitted,
            Bucket::Garbage,
        ];
        let bucket = hostile[stream.below(hostile.len() as u64) as usize];
        let cheat = Cheat::ALL[stream.below(Cheat::ALL.len() as u64) as usize];
        let cheats_one_in = [1, 1, 4, 15][stream.below(4) as usize];
        let name = mix(case.seed ^ mix(u64::from(uid) << 1 | generation));
        Self {
            uid,
            hotkey: format!("{name:016x}"),
            bucket: if is_hostile { bucket } else { Bucket::Plain },
            usual: Work::Honest(stream.between(0, 40) as usize),
            absent_one_in: [3, 12, u64::MAX][stream.below(3) as usize],
            cheats_one_in: is_hostile.then_some((cheats_one_in, cheat)),
            registered,
        }
    }

    fn committed(&self) -> Option<Vec<u8>> {
        match self.bucket {
            Bucket::NotCommitted => None,
            Bucket::Garbage => Some(b"hello".to_vec()),
            _ => Some(format!("{:<32}{:<32}{:<64}", "account", "key", "secret").into_bytes()),
        }
    }
}

/// Returns hotkey and window of an object's key.
pub(crate) fn of_key(key: &str) -> Option<(&str, u64)> {
    let (hotkey, window) = key.strip_prefix("grail/windows/")?.split_once("-window-")?;
    Some((hotkey, window.strip_suffix(".json.gz")?.parse().ok()?))
}

const _: () = assert!(CHANGE_BLOCKS * PROTOCOL.block_ms < PERIOD_MS);
