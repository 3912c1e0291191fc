//! Every way to cheat that a validator checks for, each as a file that a rival would upload.

use grail_miner::ports::GenerateRequest;
use grail_protocol::PROTOCOL;
use grail_protocol::answer::Answer;
use grail_protocol::generation::{GeneratedRollout, StreamKey};
use grail_protocol::hexadecimal::randomness_bytes;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::randomness::hash_u32s;
use grail_protocol::rollout::{GroupOrigin, Rollout, WindowContext, assemble_group};
use grail_protocol::signature::{Keypair, commit_binding};
use grail_protocol::window_file::WindowFile;
use grail_verify::{Check, Reason};

use crate::engine::Generator;
use crate::stream::mix;

macro_rules! cheats {
    ($($cheat:ident $check:ident $reason:ident $what:literal;)*) => {
        /// A way to cheat; `what` documents each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "`what` documents each")]
        pub enum Cheat {
            $($cheat,)*
        }

        impl Cheat {
            /// Every cheat.
            pub const ALL: &[Self] = &[$(Self::$cheat,)*];

            /// Returns what the rival does.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$cheat => $what,)*
                }
            }

            /// Returns the check that must catch it, and the reason that it must give.
            pub const fn caught_by(self) -> (Check, Reason) {
                match self {
                    $(Self::$cheat => (Check::$check, Reason::$reason),)*
                }
            }
        }
    };
}

cheats! {
    OldWindow Rollout WindowMismatch "rollouts of an earlier window under this window's name";
    OtherBlock Rollout BlockHashMismatch "work started under another block hash, before this one was known";
    ReusedNonce Rollout DuplicateNonce "one rollout is in the file several times";
    ForgedSignature Rollout SignatureInvalid "the challenge is signed with another key";
    CopiedFile Rollout SatSeedInvalid "another miner's rollouts, signatures and all, under one's own name";
    InflatedReward Rollout RewardOutOfBounds "a reward that no completion can earn";
    ForeignTokens Tokens None "tokens that the model does not have";
    MissingSketch Proof InvalidSVals "no sketch at all";
    ShortSketch Proof LengthMismatch "a sketch of the prompt alone";
    ForgedCommit Proof CommitSignatureInvalid "a commit that was altered after it was signed";
    OtherModelNamed Proof ModelMismatch "a smaller model, under its own name";
    OtherLayer Proof LayerMismatch "a sketch of an earlier layer, which costs less";
    OtherModel Proof SketchMismatch "a smaller model, under the right name";
    AlteredToken Proof SketchMismatch "a token altered after generation, signed again";
    ReplayedSketch Proof SketchMismatch "a sketch projected with another window's randomness";
    EasierProblem Problem Mismatch "a problem that the cheat chose";
    ShiftedIndex Problem Mismatch "the first group left out, because it is hard";
    TamperedPrompt Prompt PrefixMismatch "a prompt that gives hints";
    MiscountedPrompt Prompt PromptLenMismatch "part of the completion passed off as prompt";
    CutShort Termination NeitherMaxLenNorEos "completions cut short, to save time";
    ClaimedSuccess Solution NotSatisfied "success claimed for an answer that solves nothing";
    ClaimedAssignment Solution AssignmentMismatch "a solver's assignment claimed for the model's answer";
    WrittenAnswer Distribution SoftThreshold "answers too short to be the model's";
    LeftOutRollout Group GroupSize "only the best rollouts of a group";
    SkewedAdvantages Group AdvantageSum "advantages that favor every rollout";
}

/// A rival's own facts of a window.
pub struct Bench<'a> {
    /// The rival's key.
    pub keypair: &'a Keypair,
    /// The window.
    pub window: &'a WindowContext,
    /// The model.
    pub generator: &'a dyn Generator,
    /// Seed of its sampling.
    pub seed: u64,
}

impl Bench<'_> {
    /// Returns an honest file of this many groups.
    pub fn honest(&self, groups: u32) -> Vec<u8> {
        self.pack(&(0..groups).flat_map(|group| self.group(group, |_| {})).collect::<Vec<_>>())
    }

    /// Returns the file of a cheat.
    pub fn cheat(&self, cheat: Cheat) -> Vec<u8> {
        self.pack(&self.cheated(cheat))
    }

    fn pack(&self, rollouts: &[Rollout]) -> Vec<u8> {
        let wallet = self.keypair.hotkey().to_ss58();
        WindowFile::new(&wallet, self.window.window_start, rollouts.iter().collect(), 1_758_700_000.5).pack()
    }

    fn cheated(&self, cheat: Cheat) -> Vec<Rollout> {
        let stranger = Keypair::from_seed(&[0x5a; 32]);
        let elsewhere = |window: &WindowContext, keypair: &Keypair| {
            Bench { keypair, window, generator: self.generator, seed: self.seed }.group(0, |_| {})
        };
        match cheat {
            Cheat::OldWindow => {
                let window_start = self.window.window_start - PROTOCOL.window_blocks;
                elsewhere(&WindowContext { window_start, ..self.window.clone() }, self.keypair)
            }
            Cheat::OtherBlock => {
                let block_hash = format!("0x{}", "cd".repeat(32));
                elsewhere(&WindowContext { block_hash, ..self.window.clone() }, self.keypair)
            }
            Cheat::CopiedFile => {
                elsewhere(&WindowContext { hotkey: stranger.hotkey(), ..self.window.clone() }, &stranger)
            }
            Cheat::OtherModel => self.group(0, |rollout| {
                rollout.pass.s_vals.iter_mut().for_each(|value| *value = mix(u64::from(*value)) as u32 >> 1);
            }),
            Cheat::ReplayedSketch => self.group(0, |rollout| {
                let other = self.generator.pass(&rollout.tokens, &"3c".repeat(32));
                rollout.pass = other.expect("the formula always answers");
            }),
            Cheat::CutShort => self.group(0, |rollout| self.cut(rollout, rollout.tokens.len() - 5)),
            Cheat::WrittenAnswer => self.group(0, |rollout| {
                let eos = *rollout.tokens.last().expect("a completion is not empty");
                self.cut(rollout, rollout.prompt_length + 10);
                *rollout.tokens.last_mut().expect("it was not cut to nothing") = eos;
                rollout.pass = self.pass(&rollout.tokens);
            }),
            Cheat::TamperedPrompt => self.group(0, |rollout| {
                rollout.tokens[4] ^= 1;
                rollout.pass = self.pass(&rollout.tokens);
            }),
            Cheat::ShiftedIndex => self.group(1, |_| {}),
            Cheat::ClaimedSuccess => {
                let mut rollouts = self.group_of(0, |rollout| !self.solves(rollout), |_| {});
                rollouts.iter_mut().for_each(|rollout| rollout.commit.rollout.success = true);
                rollouts
            }
            _ => {
                let mut rollouts = self.group(0, |_| {});
                self.alter(cheat, &mut rollouts, &stranger);
                rollouts
            }
        }
    }

    /// Alters complete rollouts as the cheat does.
    fn alter(&self, cheat: Cheat, rollouts: &mut Vec<Rollout>, stranger: &Keypair) {
        let first = &mut rollouts[0];
        match cheat {
            Cheat::ReusedNonce => rollouts[1] = rollouts[0].clone(),
            Cheat::ForgedSignature => first.signature = hex::encode(stranger.sign(first.challenge.as_bytes())),
            Cheat::InflatedReward => first.commit.rollout.total_reward = 2.0,
            Cheat::ForeignTokens => first.commit.tokens[40] = u32::MAX,
            Cheat::MissingSketch => first.commit.s_vals.clear(),
            Cheat::ShortSketch => first.commit.s_vals.truncate(first.commit.rollout.prompt_length),
            Cheat::ForgedCommit => first.commit.s_vals[9] ^= 1,
            Cheat::OtherModelNamed => first.commit.model.name = "Qwen/Qwen3-0.6B".to_owned(),
            Cheat::OtherLayer => first.commit.model.layer_index = 12,
            Cheat::AlteredToken => first.commit.tokens[first.commit.rollout.prompt_length] ^= 1,
            Cheat::EasierProblem => first.commit.sat_problem.clauses.truncate(1),
            Cheat::MiscountedPrompt => {
                first.commit.rollout.prompt_length += 3;
                first.commit.rollout.completion_length -= 3;
            }
            Cheat::ClaimedAssignment => {
                for claims in rollouts.iter_mut().map(|rollout| &mut rollout.commit.rollout) {
                    claims.success = true;
                    claims.assignment.iter_mut().for_each(|bit| *bit = !*bit);
                }
            }
            Cheat::LeftOutRollout => drop(rollouts.pop()),
            Cheat::SkewedAdvantages => first.commit.rollout.advantage += 1.0,
            _ => {}
        }
        if !matches!(cheat, Cheat::ForgedSignature | Cheat::ForgedCommit) {
            rollouts.iter_mut().for_each(|rollout| self.sign(rollout));
        }
    }

    /// Returns whether a completion of the first group solves its problem.
    fn solves(&self, rollout: &GeneratedRollout) -> bool {
        let text = self.generator.tokenizer().decode(&rollout.tokens[rollout.prompt_length..], true);
        let problem = self.problem(0);
        Answer::parse(&text, problem.num_vars).reward(&problem).success
    }

    fn problem(&self, group: u32) -> Problem {
        Problem::canonical(&self.keypair.hotkey().to_ss58(), &self.window.block_hash, group)
    }

    /// Returns a signed and proven group, after an alteration of the generated rollouts.
    fn group(&self, group: u32, spoil: impl Fn(&mut GeneratedRollout)) -> Vec<Rollout> {
        self.group_of(group, |_| true, spoil)
    }

    /// Returns a group of such completions only.
    fn group_of(
        &self,
        group: u32,
        wanted: impl Fn(&GeneratedRollout) -> bool,
        spoil: impl Fn(&mut GeneratedRollout),
    ) -> Vec<Rollout> {
        let tokenizer = self.generator.tokenizer();
        let stream = |rollout, attempt| StreamKey {
            seed: self.seed,
            window_start: self.window.window_start,
            group,
            rollout,
            attempt,
        };
        let request = |rollout, attempt| GenerateRequest {
            prompt: tokenizer.encode(&prompt(&self.problem(group))),
            streams: vec![stream(rollout, attempt)],
            randomness: self.window.randomness.clone(),
            new_tokens_max: PROTOCOL.new_tokens_max,
        };
        let generate = |rollout| {
            let attempts = (0..).map(|attempt| self.generator.generate(&request(rollout, attempt)));
            let mut fresh = attempts.flat_map(|fresh| fresh.expect("the formula always answers"));
            // As an honest miner does, before the alteration.
            fresh.find(|fresh| fresh.pass.eos_probability >= 0.1 && wanted(fresh)).expect("most completions end well")
        };
        let mut generated: Vec<GeneratedRollout> = (0..PROTOCOL.rollouts_per_group as u32).map(generate).collect();
        generated.iter_mut().for_each(spoil);
        let block = self.window.window_start + 5;
        let origin = GroupOrigin { group, block, timestamp: 1_758_700_000.25 };
        let sign = |message: &[u8]| self.keypair.sign(message);
        assemble_group(self.window, origin, &generated, tokenizer, &sign).expect("what is generated makes a group")
    }

    fn pass(&self, tokens: &[u32]) -> grail_protocol::generation::ProofPass {
        self.generator.pass(tokens, &self.window.randomness).expect("the formula always answers")
    }

    /// Keeps a rollout's first tokens only, with an honest proof of them.
    fn cut(&self, rollout: &mut GeneratedRollout, length: usize) {
        rollout.tokens.truncate(length);
        rollout.token_logprobs.truncate(length);
        rollout.pass = self.pass(&rollout.tokens);
    }

    /// Signs a rollout in its present form.
    fn sign(&self, rollout: &mut Rollout) {
        let commit = &mut rollout.commit;
        let binding = commit_binding(
            &hash_u32s(&commit.tokens),
            &randomness_bytes(&commit.beacon.randomness).expect("a window's randomness is hexadecimal"),
            &commit.model.name,
            commit.model.layer_index,
            &hash_u32s(&commit.s_vals),
        );
        commit.signature = hex::encode(self.keypair.sign(&binding));
        rollout.signature = hex::encode(self.keypair.sign(rollout.challenge.as_bytes()));
    }
}
