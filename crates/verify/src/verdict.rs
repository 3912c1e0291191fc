//! Verdicts and reports, with the reference's names of checks and reasons.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Verdict on a window file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Every check passed.
    Accepted {
        /// Metrics of the window for the score.
        metrics: Metrics,
        /// Rollouts that failed the soft check without reaching the threshold.
        soft_failures: usize,
    },
    /// Score 0, and the failure flag that costs twelve windows.
    Rejected {
        /// The first failure.
        failure: Failure,
        /// Rollouts that were checked until then.
        checked: usize,
        /// Rollouts in the file.
        total: usize,
    },
    /// Not a file of this wallet and window: no score, no flag.
    Ignored(IgnoreReason),
    /// The validator threw and gave up on the file: no score, no flag.
    GaveUp(GiveUp),
}

/// Metrics of a window for the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Rollouts that passed every check.
    pub valid: usize,
    /// Rollouts checked.
    pub checked: usize,
    /// Rollouts in the file.
    pub total: usize,
    /// `valid` extrapolated from the checked to all.
    pub estimated_valid: usize,
    /// Valid rollouts that claim success.
    pub successful: usize,
    /// Distinct assignments among these.
    pub unique: usize,
}

/// Which check failed, why and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The check.
    pub check: Check,
    /// The reason within the check.
    pub reason: Reason,
    /// Position of the rollout in the file, if the failure is about one rollout.
    pub rollout: Option<usize>,
    /// Name of the group, where the failure is a group's.
    pub group: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The validator's decision.
    pub verdict: Verdict,
    /// The rollouts that were checked, in file order.
    pub rollouts: Vec<RolloutReport>,
}

/// Outcome of one rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutReport {
    /// Position in the file.
    pub position: usize,
    /// Its outcome.
    pub outcome: RolloutOutcome,
}

/// Outcome of one rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutOutcome {
    /// Passed every check.
    Valid,
    /// Passed the hard checks and failed the soft one.
    Soft(Reason),
    /// A check threw: neither valid nor failed. The text names the odd value.
    Skipped(&'static str),
    /// Failed a hard check.
    Failed(Check, Reason),
}

/// Why a validator threw on a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUp {
    /// The exception's Python name.
    pub exception: Cow<'static, str>,
    /// The cause.
    pub why: Cow<'static, str>,
}

impl GiveUp {
    pub(crate) const fn new(exception: &'static str, why: &'static str) -> Self {
        Self { exception: Cow::Borrowed(exception), why: Cow::Borrowed(why) }
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$item_doc])* #[serde(rename = $text)] $item,)*
        }

        impl $name {
            /// Returns the reference's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$item => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names! {
    /// A validator's checks, in order.
    Check {
        /// Fields, window, nonce, challenge signature, seed and reward of a rollout.
        Rollout => "rollout",
        /// Token ids and length.
        Tokens => "tokens_valid",
        /// Commit signature, model binding, sketches.
        Proof => "proof_valid",
        /// The canonical problem.
        Problem => "sat_problem_valid",
        /// The canonical prompt.
        Prompt => "prompt_valid",
        /// How the completion ended.
        Termination => "termination_valid",
        /// The claimed assignment.
        Solution => "solution_valid",
        /// Chosen-token probabilities; the one soft check.
        Distribution => "token_distribution_valid",
        /// Size and advantages of a group.
        Group => "group",
    }
}

names! {
    /// Why a check failed.
    Reason {
        /// The check names no reason of its own.
        None => "",
        /// A field is not there.
        MissingFields => "missing_fields",
        /// A rollout names another window than the file.
        WindowMismatch => "window_mismatch",
        /// Another block hash than the chain's.
        BlockHashMismatch => "block_hash_mismatch",
        /// A nonce used before in the file.
        DuplicateNonce => "duplicate_nonce",
        /// The challenge's signature does not verify.
        SignatureInvalid => "signature_invalid",
        /// `sat_seed` is not wallet, block hash and nonce.
        SatSeedInvalid => "sat_seed_invalid",
        /// The reward is outside what a completion can earn.
        RewardOutOfBounds => "reward_out_of_bounds",
        /// `s_vals` is not a list, or empty.
        InvalidSVals => "invalid_s_vals",
        /// Not one sketch value per token.
        LengthMismatch => "length_mismatch",
        /// Fewer tokens than opened positions.
        TooShort => "too_short",
        /// The commit's signature does not verify.
        CommitSignatureInvalid => "commit_signature_invalid",
        /// Another model's name.
        ModelMismatch => "model_mismatch",
        /// Another layer.
        LayerMismatch => "layer_mismatch",
        /// The opened positions could not be drawn.
        IndexDerivationFailed => "index_derivation_failed",
        /// The forward pass failed.
        InferenceError => "inference_error",
        /// An opened position beyond the sketch.
        SValsIndexOutOfBounds => "svals_index_oob",
        /// A sketch value is off by more than the tolerance.
        SketchMismatch => "sketch_mismatch",
        /// Problem or prompt differ from the canonical ones.
        Mismatch => "mismatch",
        /// The prompt's length is not the canonical one.
        PromptLenMismatch => "prompt_len_mismatch",
        /// Prompt and completion length do not add up to the tokens.
        TokenCountMismatch => "token_count_mismatch",
        /// The prompt's tokens are not the canonical ones.
        PrefixMismatch => "prefix_mismatch",
        /// The completion's length is not an integer.
        CompletionLengthNotInt => "completion_length_not_int",
        /// More than 1024 new tokens.
        OverMaxNewTokens => "over_max_new_tokens",
        /// Neither full length nor a probable EOS.
        NeitherMaxLenNorEos => "neither_maxlen_nor_eos",
        /// No completion to read an assignment from.
        ParseFailed => "parse_failed",
        /// The claimed assignment is not n booleans.
        InvalidStructure => "invalid_structure",
        /// The claimed assignment is not the tokens' one.
        AssignmentMismatch => "assignment_mismatch",
        /// The assignment does not solve the problem.
        NotSatisfied => "not_satisfied",
        /// Too many rollouts failed the soft check.
        SoftThreshold => "soft_threshold",
        /// Fewer than 30 completion tokens.
        Insufficient => "insufficient",
        /// The probabilities do not look like sampling from the model.
        Suspicious => "suspicious",
        /// Not exactly four rollouts.
        GroupSize => "group_size",
        /// The advantages do not add up to zero.
        AdvantageSum => "advantage_sum",
        /// The rollouts of a group work different problems.
        GroupProblemMismatch => "group_problem_mismatch",
    }
}

names! {
    /// Why a file was ignored.
    IgnoreReason {
        /// The document is empty.
        Empty => "empty",
        /// The file names another wallet.
        WalletMismatch => "wallet_mismatch",
        /// The file names another window.
        WindowMismatch => "window_mismatch",
    }
}

impl Verdict {
    /// Returns the outcome's name: `accepted`, `rejected`, `ignored` or `error`.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Rejected { .. } => "rejected",
            Self::Ignored(_) => "ignored",
            Self::GaveUp(_) => "error",
        }
    }

    /// Returns the window's metrics; zero unless accepted.
    pub fn metrics(&self) -> Metrics {
        match self {
            Self::Accepted { metrics, .. } => *metrics,
            _ => Metrics::default(),
        }
    }

    /// Returns the remedy for the miner.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Accepted { .. } => None,
            Self::Rejected { failure, .. } => Some(failure.reason.remedy()),
            Self::Ignored(reason) => Some(reason.remedy()),
            Self::GaveUp(_) => Some("write every field with the type that the protocol gives it; nothing was scored"),
        }
    }
}

impl IgnoreReason {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "upload the window's file; an empty document scores nothing",
            Self::WalletMismatch => "upload under the hotkey that the file's `wallet` names, or check it with --hotkey",
            Self::WindowMismatch => "the file belongs to another window: check it against that window's block hash",
        }
    }
}

impl Reason {
    /// Returns the remedy for the miner.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::None => {
                "use the model's own tokenizer and weights; ids must be within the vocabulary and the context"
            }
            Self::MissingFields => "write every field of the rollout and its commit",
            Self::WindowMismatch => "put only rollouts of this window into the file",
            Self::BlockHashMismatch => {
                "read the hash of the window's first block again before the upload; it was replaced"
            }
            Self::DuplicateNonce => "number rollouts by group · 10 + index, each once",
            Self::SignatureInvalid => "sign the challenge text as UTF-8 with the rollout's own hotkey; hex without 0x",
            Self::SatSeedInvalid => "derive sat_seed from the file's wallet, the block hash and the nonce",
            Self::RewardOutOfBounds => "compute the reward by the protocol's weights; it is between -0.2 and 1.135",
            Self::InvalidSVals | Self::LengthMismatch => "write one sketch value per token",
            Self::TooShort => "a rollout needs at least 16 tokens",
            Self::CommitSignatureInvalid => "sign the commit binding of exactly these tokens, sketch, model and beacon",
            Self::ModelMismatch => "name the protocol's model by its hub id, also when weights come from a folder",
            Self::LayerMismatch => "take the sketch after the final norm: layer index -1",
            Self::IndexDerivationFailed => "open 16 positions; the proof lists more than there are tokens",
            Self::InferenceError => "check that the tokens are valid for the declared model",
            Self::SValsIndexOutOfBounds => "write one sketch value per token",
            Self::SketchMismatch => "prove with the validators' weights and numerics profile; check `grail doctor`",
            Self::Mismatch => "work the canonical problem of the group's position in the file; groups are 0, 1, 2 …",
            Self::PromptLenMismatch | Self::PrefixMismatch => {
                "build the prompt from the canonical problem, nothing added"
            }
            Self::TokenCountMismatch => "prompt and completion length must add up to the number of tokens",
            Self::CompletionLengthNotInt => "write completion_length as an integer",
            Self::OverMaxNewTokens => "stop after 1024 new tokens",
            Self::NeitherMaxLenNorEos => {
                "drop the rollout and sample again: it ended without an EOS of probability 0.1"
            }
            Self::ParseFailed => "the completion is empty: do not claim success for it",
            Self::InvalidStructure => "write the assignment as exactly n booleans",
            Self::AssignmentMismatch => "claim the assignment that the completion's text gives",
            Self::NotSatisfied => "claim success only where every clause holds",
            Self::SoftThreshold | Self::Suspicious => "sample from the protocol's model with the protocol's settings",
            Self::Insufficient => "completions need at least 30 tokens",
            Self::GroupSize => "upload groups whole: exactly four rollouts, each with a numeric reward",
            Self::AdvantageSum => "compute advantages over the whole group; they add up to zero",
            Self::GroupProblemMismatch => "work one problem per group",
        }
    }
}
