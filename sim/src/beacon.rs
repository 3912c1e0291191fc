//! A beacon with its own key: each round is signed, and its randomness is the signature's sha256.

use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Beacon, BeaconError, BeaconRound, BeaconSchedule};
use grail_protocol::signature::{Hotkey, Keypair};
use sha2::{Digest, Sha256};

use crate::faults::{FaultKind, FaultPlan};
use crate::stream::Stream;
use crate::time::{EPOCH_WALL_MS, VirtualTime};

/// The beacon's network: it signs.
pub struct SimBeacon {
    keypair: Keypair,
}

impl SimBeacon {
    /// Returns the beacon of this seed, on quicknet's schedule.
    pub fn new(seed: u64) -> Self {
        let secret: [u8; 32] = Sha256::digest(format!("{seed}/beacon/key")).into();
        Self { keypair: Keypair::from_seed(&secret) }
    }

    /// Returns the key that rounds verify under.
    pub fn public_key(&self) -> Hotkey {
        self.keypair.hotkey()
    }

    /// Returns the signature of a round.
    pub fn signature(&self, round: u64) -> [u8; 64] {
        self.keypair.sign(&round.to_be_bytes())
    }

    /// Returns the randomness of a round.
    pub fn randomness(&self, round: u64) -> String {
        hex::encode(Sha256::digest(self.signature(round)))
    }

    /// Returns the newest round at a virtual time.
    pub fn newest_round(&self, now_ms: u64) -> u64 {
        BeaconSchedule::QUICKNET.round_at(EPOCH_WALL_MS + now_ms)
    }
}

/// Relays that a node asks.
const RELAYS: u64 = 3;

/// One node's relays, which pass on only verified rounds.
pub struct BeaconLink {
    beacon: Rc<SimBeacon>,
    public_key: Hotkey,
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
}

/// A relay's answer before verification.
struct Answer {
    round: u64,
    signature: [u8; 64],
}

impl BeaconLink {
    /// Returns relays to this beacon.
    pub fn new(beacon: Rc<SimBeacon>, time: VirtualTime, faults: Rc<FaultPlan>, seed: u64) -> Self {
        Self { public_key: beacon.public_key(), beacon, time, faults, seed }
    }

    fn struck(&self, kind: FaultKind) -> Option<u64> {
        self.faults.strikes(kind, self.time.now_ms()).map(|fault| fault.strength)
    }

    /// Returns one relay's answer.
    fn ask(&self, relay: u64, round: u64) -> Result<Answer, BeaconError> {
        let behind = self.struck(FaultKind::BeaconCatchUp).unwrap_or(0);
        if round == 0 || round + behind > self.beacon.newest_round(self.time.now_ms()) {
            return Err(BeaconError::Invalid(format!("round {round} is not due yet")));
        }
        if self.struck(FaultKind::BeaconMissing).is_some() {
            return Err(BeaconError::Invalid(format!("404: no round {round}")));
        }
        let is_liar = self.struck(FaultKind::BeaconDisagreement).is_some_and(|liars| relay < liars);
        let given = round.saturating_sub(self.struck(FaultKind::BeaconWrongRound).unwrap_or(0));
        let mut signature = self.beacon.signature(given);
        if is_liar || self.struck(FaultKind::BeaconWrongSignature).is_some() {
            signature[7] ^= 1;
        }
        Ok(Answer { round: given, signature })
    }

    /// Returns the answer, if it is the network's and to what was asked.
    fn verified(&self, round: u64, answer: &Answer) -> Result<BeaconRound, BeaconError> {
        if answer.round != round {
            return Err(BeaconError::Invalid(format!("round {} came instead of {round}", answer.round)));
        }
        if !self.public_key.verifies(&round.to_be_bytes(), &answer.signature) {
            return Err(BeaconError::Invalid(format!("the signature of round {round} does not verify")));
        }
        Ok(BeaconRound { round, randomness: hex::encode(Sha256::digest(answer.signature)) })
    }
}

#[async_trait(?Send)]
impl Beacon for BeaconLink {
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError> {
        let late_ms = self.struck(FaultKind::BeaconLate).unwrap_or(0);
        self.time.sleep(late_ms + Stream::new(self.seed, "beacon/latency", round).between(30, 300)).await;
        if self.struck(FaultKind::BeaconOutage).is_some() {
            return Err(BeaconError::Unreachable("every relay refused the connection".to_owned()));
        }
        let mut last = BeaconError::Unreachable("there is no relay".to_owned());
        for relay in 0..RELAYS {
            match self.ask(relay, round).and_then(|answer| self.verified(round, &answer)) {
                Ok(round) => return Ok(round),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
