//! Input of the benchmarks: a window of five groups as the miner makes it, with a validator's facts.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use grail_miner::answers::GenerateRequest;
use grail_miner::seal::{SealedGroup, seal};
use grail_protocol::generation::{ProofModel, ProofPass, StreamKey};
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::randomness::{challenge_randomness, window_randomness};
use grail_protocol::rollout::{GroupOrigin, Rollout, WindowContext};
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::WindowFile;
use grail_sim::engine::Generator;
use grail_sim::synthetic::SyntheticModel;
use grail_verify::{Recompute, RecomputeError, WindowFacts};

/// Twenty rollouts: the largest file that a validator checks whole.
pub(crate) const GROUPS: u32 = 5;

/// Five sealed groups of one window.
pub(crate) struct HonestWindow {
    pub(crate) keypair: Keypair,
    pub(crate) context: WindowContext,
    pub(crate) groups: Vec<SealedGroup>,
    pub(crate) model: SyntheticModel,
}

impl HonestWindow {
    /// Returns the window of these rollouts, made by the synthetic model.
    pub(crate) fn new() -> Self {
        let keypair = Keypair::from_seed(&[7; 32]);
        let block_hash = format!("0x{}", "5a".repeat(32));
        let context = WindowContext {
            hotkey: keypair.hotkey(),
            window_start: 300,
            randomness: window_randomness(&block_hash, Some(&"c3".repeat(32))),
            block_hash,
            use_drand: true,
        };
        let mut window = Self { keypair, context, groups: Vec::new(), model: SyntheticModel::default() };
        window.groups = (0..GROUPS).map(|group| window.clean_group(group)).collect();
        window
    }

    /// Returns the request that the rollouts of a group answer.
    pub(crate) fn request(&self, group: u32, attempt: u32) -> GenerateRequest {
        let WindowContext { hotkey, block_hash, window_start, randomness, .. } = &self.context;
        let problem = Problem::canonical(&hotkey.to_ss58(), block_hash, group);
        let stream = |rollout| StreamKey { seed: 1, window_start: *window_start, group, rollout, attempt };
        GenerateRequest {
            prompt: self.model.tokenizer().encode(&prompt(&problem)),
            streams: (0..4).map(stream).collect(),
            randomness: randomness.clone(),
            new_tokens_max: 1024,
        }
    }

    /// Assembles, signs and checks a group.
    pub(crate) fn seal(&self, group: u32, attempt: u32) -> SealedGroup {
        let generated = self.model.generate(&self.request(group, attempt)).expect("the formula always answers");
        let origin = GroupOrigin { group, block: 303, timestamp: 1_758_700_000.25 };
        let sealed = seal(&self.context, origin, generated, self.model.limits(), self.model.tokenizer(), &self.keypair);
        sealed.expect("four rollouts make a group")
    }

    /// Returns the first attempt at a group that the miner's own check passes.
    fn clean_group(&self, group: u32) -> SealedGroup {
        let attempts = (0..).map(|attempt| self.seal(group, attempt));
        attempts.into_iter().find(|sealed| sealed.findings.is_empty()).expect("one rollout in a hundred is unclean")
    }

    /// Returns every rollout in the order of the file.
    pub(crate) fn rollouts(&self) -> Vec<&Rollout> {
        self.groups.iter().flat_map(|group| &group.rollouts).collect()
    }

    /// Returns the file's bytes as they are uploaded.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let wallet = self.context.hotkey.to_ss58();
        WindowFile::new(&wallet, self.context.window_start, self.rollouts(), 1_758_700_300.5).pack()
    }

    /// Returns a validator's facts about the window.
    pub(crate) fn facts(&self) -> WindowFacts {
        WindowFacts {
            hotkey: self.context.hotkey.to_ss58(),
            validator_hotkey: Keypair::from_seed(&[8; 32]).hotkey().to_ss58(),
            window_start: self.context.window_start,
            challenge_randomness: challenge_randomness(&self.context.block_hash, Some(&"3c".repeat(32))),
            block_hash: self.context.block_hash.clone(),
            limits: self.model.limits(),
        }
    }
}

/// The validator's forward passes, recorded: verification without the model.
impl Recompute for HonestWindow {
    fn recompute(&self, tokens: &[u32], _: &str) -> Result<ProofPass, RecomputeError> {
        let mut generated = self.groups.iter().flat_map(|group| &group.generated);
        let found = generated.find(|rollout| rollout.tokens == tokens).map(|rollout| rollout.pass.clone());
        found.ok_or_else(|| RecomputeError { tokens: tokens.len(), why: "not a rollout of this window".to_owned() })
    }
}
