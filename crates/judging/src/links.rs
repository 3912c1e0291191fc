//! The validator's connection to the chain: that of miners, with the subnet's hotkeys and weights.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Chain as _, ChainError, Head};
use grail_validator::answers::{Neuron, SubmitError, WeightsState};
use grail_validator::ports::Chain;

use crate::gate::Gate;
use crate::subnet::Neighbors;
use crate::weights::WeightsOnChain;
use grail_sim::chain::{ChainLink, SimChain};
use grail_sim::faults::{FaultKind, FaultPlan};
use grail_sim::stream::Stream;
use grail_sim::time::{Notice, VirtualTime};

/// One validator's connection.
pub(crate) struct ValidatorLink {
    pub(crate) link: ChainLink,
    pub(crate) chain: SimChain,
    pub(crate) time: VirtualTime,
    pub(crate) faults: Rc<FaultPlan>,
    pub(crate) neighbors: Rc<Neighbors>,
    pub(crate) weights: WeightsOnChain,
    pub(crate) rate_limit: u64,
    pub(crate) commit_reveal: bool,
    pub(crate) hotkey: String,
    pub(crate) seed: u64,
    pub(crate) gate: Gate,
}

impl ValidatorLink {
    /// What every read costs; a lying endpoint's answer is malformed.
    async fn read(&self, kind: &'static str) -> Result<(), ChainError> {
        self.gate.call(kind, ChainError::Unreachable)?;
        self.link.call().await?;
        if self.link.lies() {
            return Err(ChainError::Malformed("bytes of another type".to_owned()));
        }
        Ok(())
    }

    fn strikes(&self, kind: FaultKind) -> Option<u64> {
        self.faults.strikes(kind, self.time.now_ms()).map(|fault| fault.strength)
    }

    /// Returns whether the subnet takes weights in the next block.
    fn refusal(&self, head: u64) -> Option<&'static str> {
        if self.commit_reveal {
            return Some("CommitRevealEnabled: weights must be committed first");
        }
        if self.chain.uid(&self.hotkey).is_none() {
            return Some("HotKeyNotRegisteredInSubNet: the hotkey has no uid");
        }
        let last = self.weights.last();
        let is_too_soon = last.is_some_and(|last| head < last.block + self.rate_limit);
        is_too_soon.then_some("SettingWeightsTooFast: the rate limit")
    }

    /// Includes weights once a block is there, whatever becomes of the process that sent them.
    fn include_in(&self, block: u64, number: u64, weights: &[(u16, u16)]) -> (Notice, Rc<Cell<bool>>) {
        let (chain, book, weights) = (self.chain.clone(), self.weights.clone(), weights.to_vec());
        let (notice, is_in) = (Notice::default(), Rc::new(Cell::new(false)));
        let (noticed, done) = (notice.clone(), is_in.clone());
        self.time.spawn("weights", async move {
            chain.reached(block).await;
            book.include(number, block, &weights);
            done.set(true);
            noticed.notify();
        });
        (notice, is_in)
    }
}

#[async_trait(?Send)]
impl Chain for ValidatorLink {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        self.gate.call("chain.next_head", ChainError::Unreachable)?;
        self.link.next_head(after).await
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        self.gate.call("chain.block_hash", ChainError::Malformed)?;
        self.link.block_hash(block).await
    }

    async fn metagraph(&self) -> Result<Vec<Neuron>, ChainError> {
        self.read("chain.metagraph").await?;
        Ok(self.neighbors.metagraph(self.chain.head()))
    }

    async fn weights(&self) -> Result<WeightsState, ChainError> {
        self.read("chain.weights").await?;
        Ok(self.weights.state(self.chain.uid(&self.hotkey), self.rate_limit, self.commit_reveal))
    }

    async fn set_weights(&self, weights: &[(u16, u16)]) -> Result<(), SubmitError> {
        self.gate.steps.alive().await;
        self.gate.call("chain.set_weights", SubmitError::Unknown)?;
        self.link.call().await.map_err(|error| SubmitError::Unknown(error.to_string()))?;
        let head = self.chain.head();
        let refusal = self.refusal(head);
        // A validator cannot know that it was deregistered a moment ago.
        let is_allowed = refusal.is_none() || self.chain.uid(&self.hotkey).is_none();
        let number = self.weights.send(head, is_allowed);
        self.gate.effect().await;
        if self.strikes(FaultKind::NonceRace).is_some() {
            self.weights.refuse(number);
            return Err(SubmitError::Refused("1014: priority is too low, another extrinsic has the nonce".to_owned()));
        }
        if let Some(refusal) = refusal {
            self.weights.refuse(number);
            return Err(SubmitError::Refused(refusal.to_owned()));
        }
        if self.strikes(FaultKind::DroppedExtrinsic).is_some() {
            return std::future::pending().await;
        }
        if let Some(blocks) = self.strikes(FaultKind::LateExtrinsic) {
            // Up to the last block that may hold them.
            let blocks = blocks * Stream::new(self.seed, "judging/late-extrinsic", number).between(1, 6);
            self.include_in(head + blocks, number, weights);
            return Err(SubmitError::Unknown("the connection broke".to_owned()));
        }
        let (notice, is_in) = self.include_in(head + 1, number, weights);
        if self.strikes(FaultKind::UploadErrorAfter).is_some() {
            return Err(SubmitError::Unknown("the connection broke after the weights were sent".to_owned()));
        }
        while !is_in.get() {
            notice.next().await;
        }
        self.gate.steps.alive().await;
        Ok(())
    }

    async fn reconnect(&self) {
        self.link.reconnect().await;
    }
}
