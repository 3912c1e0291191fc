//! The command line as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::device::DeviceChoice;

/// Mine the GRAIL subnet, or rehearse, verify and debug it offline.
///
/// Exit codes: 0 all is well; 1 the answer is no (a rejected file, a violation in a simulation, a configuration that
/// cannot mine); 2 the command or its input cannot be used.
#[derive(Debug, Parser)]
#[command(name = "grail", version, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure proofs and decoding on a CUDA device, each beside the card's own limit.
    Bench(BenchArguments),
    /// Show the configuration: what holds, and where it was typed.
    Config(ConfigArguments),
    /// Run golden vectors and golden proofs against this machine.
    Golden(GoldenArguments),
    /// Print the sketch values of a sequence of tokens.
    Prove(ProveArguments),
    /// Rehearse mining offline: simulated chain, beacon, bucket and validator around the real miner.
    Sim(SimArguments),
    /// Check a window file against all of the validator's rules.
    Verify(VerifyArguments),
    /// Show the version, and the protocol that it speaks.
    Version,
}

/// `grail bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// The model: synthetic:qwen3-4b:SEED, a folder, or a hub id.
    #[arg(long, default_value = "synthetic:qwen3-4b:1", value_name = "MODEL")]
    pub model: String,
    /// The device: cuda, or cuda:1 for the second card.
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Also do this many batches of a window's work, and say what a whole window would give.
    #[arg(long, value_name = "BATCHES", num_args = 0..=1, default_missing_value = "1")]
    pub window: Option<u32>,
    /// Also time every arrangement of a proof, and say whether it keeps the bits.
    #[arg(long)]
    pub arrangements: bool,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
}

/// `grail golden`.
#[derive(Debug, Args)]
pub struct GoldenArguments {
    /// Run every vector below this folder.
    #[arg(long, default_value = "fixtures", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where golden proofs are computed: cpu (within a tolerance), cuda or cuda:1 (bit by bit).
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
}

/// `grail prove`.
#[derive(Debug, Args)]
pub struct ProveArguments {
    /// A file with a JSON list of token ids, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub tokens: String,
    /// The randomness that hidden states are projected with, in hex.
    #[arg(long, value_name = "HEX")]
    pub randomness: String,
    /// The model: rehearsal, a folder, or on a CUDA device also synthetic:qwen3-4b:SEED and hub ids.
    #[arg(long, default_value = "rehearsal", value_name = "MODEL")]
    pub model: String,
    /// Where to compute: cpu, cuda, or cuda:1 for the second card.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Whose bits, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "PROFILE")]
    pub profile: String,
}

/// `grail config`.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The subcommands of `grail config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every key with its value, secrets as length and fingerprint; then what is doubtful or wrong.
    Show(ConfigShowArguments),
}

/// `grail config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArguments {
    /// Show where each value was typed, and which others lost against it.
    #[arg(long)]
    pub origin: bool,
    /// Where the file is.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// For commands that read the configuration.
#[derive(Debug, Args)]
pub struct EnvFileArgument {
    /// Read variables from this file [default: .env where there is one].
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// `grail sim`.
#[derive(Debug, Args)]
pub struct SimArguments {
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Windows to mine and judge.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub windows: u64,
    /// Where rollouts come from: the embedded rehearsal model, or a formula.
    #[arg(long, value_enum, default_value_t = EngineChoice::Tiny)]
    pub engine: EngineChoice,
    /// What goes wrong: none, random, or a comma-separated list of faults.
    #[arg(long, default_value = "none", value_name = "none|LIST|random")]
    pub faults: String,
    /// What generation costs in virtual time: a100, h200 or reference.
    #[arg(long, default_value = "a100")]
    pub profile: String,
    /// Most groups per window; 0 for as many as the profile allows [default: 5 with tiny, 0 with synthetic].
    #[arg(long)]
    pub groups_max: Option<u32>,
    /// Which of the clean groups are uploaded.
    #[arg(long, value_enum, default_value_t = PolicyChoice::Score)]
    pub policy: PolicyChoice,
    /// Use the block hash alone as randomness.
    #[arg(long)]
    pub no_drand: bool,
    /// Write every event and action to this file.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write the uploaded window files to this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output.
    #[arg(long)]
    pub json: bool,
}

/// `grail verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The window file, gzipped or plain.
    pub file: PathBuf,
    /// Hash of the window's first block, `0x` and 64 hex digits.
    #[arg(long, value_name = "HASH")]
    pub block_hash: String,
    /// The miner whose file it should be [default: the file's wallet].
    #[arg(long, value_name = "ADDRESS")]
    pub hotkey: Option<String>,
    /// The validator whose draw of groups is taken [default: the miner].
    #[arg(long, value_name = "ADDRESS")]
    pub validator: Option<String>,
    /// The validator's randomness: what it opens and which groups it draws [default: from the block hash].
    #[arg(long, value_name = "HEX")]
    pub randomness: Option<String>,
    /// The model: a folder with config.json, model.safetensors and tokenizer.json, or `rehearsal`.
    #[arg(long, default_value = "rehearsal", value_name = "DIR|rehearsal")]
    pub model: String,
    /// Check every rollout and go on after a failure.
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Where simulated rollouts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// The embedded rehearsal model on the CPU.
    Tiny,
    /// Tokens by seed and proofs by formula: fast, and the same on every machine.
    Synthetic,
}

impl EngineChoice {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Synthetic => "synthetic",
        }
    }
}

/// Which of the clean groups are uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyChoice {
    /// The prefix with the best expected score.
    Score,
    /// All of them.
    All,
}
