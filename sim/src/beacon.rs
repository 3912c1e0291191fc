//! A beacon with a key of its own: each round is signed, and its randomness is the signature's sha256.

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
    schedule: BeaconSchedule,
}

impl SimBeacon {
    /// The beacon of this seed, on quicknet's schedule.
    pub fn new(seed: u64) -> Self {
        let secret: [u8; 32] = Sha256::digest(format!("{seed}/beacon/key")).into();
        Self { keypair: Keypair::from_seed(&secret), schedule: BeaconSchedule::QUICKNET }
    }

    /// The key that rounds verify under.
    pub fn public_key(&self) -> Hotkey {
        self.keypair.hotkey()
    }

    /// The signature of a round.
    pub fn signature(&self, round: u64) -> [u8; 64] {
        self.keypair.sign(&round.to_be_bytes())
    }

    /// The randomness of a round.
    pub fn randomness(&self, round: u64) -> String {
        hex::encode(Sha256::digest(self.signature(round)))
    }

    /// The newest round at a virtual time.
    pub fn newest_round(&self, now_ms: u64) -> u64 {
        self.schedule.round_at(EPOCH_WALL_MS + now_ms)
    }
}

/// One node's relay: it verifies what it passes on.
pub struct BeaconLink {
    beacon: Rc<SimBeacon>,
    public_key: Hotkey,
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
}

impl BeaconLink {
    /// A relay to this beacon.
    pub fn new(beacon: Rc<SimBeacon>, time: VirtualTime, faults: Rc<FaultPlan>, seed: u64) -> Self {
        Self { public_key: beacon.public_key(), beacon, time, faults, seed }
    }
}

#[async_trait(?Send)]
impl Beacon for BeaconLink {
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError> {
        self.time.sleep(Stream::new(self.seed, "beacon/latency", round).between(30, 300)).await;
        if self.faults.active(FaultKind::BeaconOutage, self.time.now_ms()).is_some() {
            return Err(BeaconError::Unreachable("every relay refused the connection".to_owned()));
        }
        if round == 0 || round > self.beacon.newest_round(self.time.now_ms()) {
            return Err(BeaconError::Invalid(format!("round {round} is not due yet")));
        }
        let signature = self.beacon.signature(round);
        if !self.public_key.verifies(&round.to_be_bytes(), &signature) {
            return Err(BeaconError::Invalid(format!("the signature of round {round} does not verify")));
        }
        Ok(BeaconRound { round, randomness: hex::encode(Sha256::digest(signature)) })
    }
}
