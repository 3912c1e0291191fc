//! The command line as typed.

mod estimate;
mod operator;
mod policy;
pub mod swarm;
mod tapes;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use grail_cuda::TorchNumerics;

use grail_config::LogFormat;
use grail_live::device::{DeviceChoice, DeviceSet};

pub use self::estimate::EstimateArguments;
pub use self::operator::{
    BundleArguments, ConfigArguments, ConfigCommand, ConfigShowArguments, DoctorArguments, InitArguments,
    MinerArgument, ReportArguments, StopArguments, TopArguments, WhyArguments,
};
pub use self::policy::PolicyChoice;
pub use self::tapes::{
    DiffArguments, ReplayArguments, ReplayEngine, TapeArguments, TapeCommand, TapeExportArguments, TapeListArguments,
    TapeShowArguments,
};
pub use self::validate::{NetworkArguments, Role, ValidateArguments};

/// Mine the GRAIL subnet, or simulate, verify and debug it offline.
///
/// Exit codes: 0 success; 1 negative result; 2 bad command line or input; 3 another miner has the hotkey, a replay lacks its
/// model, or no miner runs; 67 the hotkey is not registered; 70 a defect of this program, restart it; 75 a temporary problem,
/// restart it; 76 another network or protocol; 77 a wallet or key; 78 the configuration; 130 a second signal; 141 the reader
/// closed the output.
#[derive(Debug, Parser)]
#[command(name = "grail", version, propagate_version = true)]
pub struct Arguments {
    /// Log more: -v the events of a window, -vv every event and action and samples of generated text. Warnings and errors
    /// are always logged.
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 1000, help_heading = "Logging")]
    pub verbose: u8,
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure proofs and decoding on a CUDA device, each next to the GPU's own limit.
    Bench(BenchArguments),
    /// Pack one window into an archive without secrets, which `grail replay` reads.
    Bundle(BundleArguments),
    /// Print the completions of a shell.
    Completions(CompletionsArguments),
    /// Show the configuration: each value and its source.
    Config(ConfigArguments),
    /// Compare what two builds decide over the same tapes, and accept or reject each difference.
    Diff(DiffArguments),
    /// Check every prerequisite of mining, with a remedy for each problem.
    Doctor(DoctorArguments),
    /// Write the manual pages, one for each command.
    Man(ManArguments),
    /// Estimate what a GPU would earn among rivals, compared with its price.
    Estimate(EstimateArguments),
    /// Mine: generate, prove and upload, window after window, until a signal.
    Mine(MineArguments),
    /// Run golden vectors and golden proofs against this machine.
    Golden(GoldenArguments),
    /// Write the configuration: ask for what is needed, and test each answer at once.
    Init(InitArguments),
    /// Run a whole network on this machine: chain, beacon and buckets, and processes of miners and validators.
    Network(NetworkArguments),
    /// Print the sketch values of a sequence of tokens.
    Prove(ProveArguments),
    /// Run the core over recorded tapes, and show where and why it decides differently.
    Replay(ReplayArguments),
    /// Write the last windows as a page: outcomes, scores, margins, rejections, speeds.
    Report(ReportArguments),
    /// Simulate mining offline: a simulated chain, beacon, bucket and validator around the real miner.
    Sim(Box<SimArguments>),
    /// Stop a running miner, at once or after its window's upload, or a running validator.
    Stop(StopArguments),
    /// List recorded tapes, show their steps, or export a part of one.
    Tape(TapeArguments),
    /// Watch a running miner (window, groups, uploads, endpoints) or validator (windows, miners, weights).
    Top(TopArguments),
    /// Validate: judge every miner's window and set weights, window after window, until a signal.
    Validate(ValidateArguments),
    /// Check a window file against all of the validator's rules.
    Verify(VerifyArguments),
    /// Explain one window: receipt, journal, bucket, our own verifier, weight on chain, exclusion.
    ///
    /// Exit codes: 0 the window was uploaded and accepted, 1 it was not, 3 unknown.
    Why(WhyArguments),
    /// Show the version and its protocol.
    Version,
}

impl Command {
    /// Returns whether it reads keys or other secrets.
    pub fn holds_secrets(&self) -> bool {
        matches!(
            self,
            Self::Bundle(_)
                | Self::Config(_)
                | Self::Doctor(_)
                | Self::Init(_)
                | Self::Mine(_)
                | Self::Validate(_)
                | Self::Why(_)
        )
    }
}

/// `grail bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail bench --window\n\
        \x20 grail bench --json > new.json && grail bench --compare new.json")]
pub struct BenchArguments {
    /// The model: synthetic:qwen3-4b:SEED, a folder, or a hub id.
    #[arg(long, default_value = "synthetic:qwen3-4b:1", value_name = "MODEL")]
    pub model: String,
    /// The device: cuda, or cuda:1 for the second GPU.
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Also run this many batches of a window's work, and extrapolate to a whole window.
    #[arg(long, value_name = "BATCHES", num_args = 0..=1, default_missing_value = "1")]
    pub window: Option<u32>,
    /// Also run groups of all lengths for this many seconds, and say whether memory grows.
    #[arg(long, value_name = "SECONDS")]
    pub soak: Option<u64>,
    /// Also time every arrangement of a proof, and say whether it keeps the bits.
    #[arg(long)]
    pub arrangements: bool,
    /// Compare with the --json output of an earlier run; exit code 1 if something became slower.
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
}

/// `grail completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail completions bash > /etc/bash_completion.d/grail")]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `grail man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail man /usr/local/share/man/man1")]
pub struct ManArguments {
    /// Folder to write to, such as /usr/local/share/man/man1; it is created if missing.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `grail golden`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail golden\n  grail golden --device cuda --dir fixtures/golden-proofs")]
pub struct GoldenArguments {
    /// Run every vector below this folder [default: the vectors in fixtures].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Device that computes golden proofs: cpu (within a tolerance), cuda or cuda:1 (bit by bit).
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
}

/// `grail prove`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  echo '[1, 17, 23]' | grail prove --tokens - --randomness 0x00ff")]
pub struct ProveArguments {
    /// A file with a JSON list of token ids, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub tokens: String,
    /// The randomness that hidden states are projected with, in hex.
    #[arg(long, value_name = "HEX")]
    pub randomness: String,
    /// The model: toy, a folder, or on a CUDA device also synthetic:qwen3-4b:SEED and hub ids.
    #[arg(long, default_value = "toy", value_name = "MODEL")]
    pub model: String,
    /// Device that computes: cpu, cuda, or cuda:1 for the second GPU.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// PyTorch release whose rounding the proofs follow, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "NUMERICS")]
    pub numerics: TorchNumerics,
}

/// For commands that read the configuration.
#[derive(Debug, Clone, Args)]
pub struct EnvFileArgument {
    /// Read variables from this file [default: .env, if it exists].
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// `grail mine`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail mine\n\
        \x20 grail mine --device cuda:0,1 --metrics-listen 127.0.0.1:9464\n\
        \x20 grail mine --env-file world/.env --device cpu --data-dir data")]
pub struct MineArguments {
    /// The configuration file.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Device that generates rollouts: cpu, cuda, cuda:1 for the second GPU, or cuda:0,1 for several; cpu works only on
    /// custom networks, because public validators reject its proofs.
    #[arg(long, default_value = "cuda", value_name = "DEVICE", help_heading = "Generation")]
    pub device: DeviceSet,
    /// PyTorch release whose rounding the proofs follow: torch-2.8 for the network's validators, torch-2.10 for validators that
    /// run 2.10 or newer.
    #[arg(long, default_value = "torch-2.8", value_name = "NUMERICS", help_heading = "Generation")]
    pub numerics: TorchNumerics,
    /// Decode in fixed shapes, so that a seed always gives the same tokens; slower.
    #[arg(long, help_heading = "Generation")]
    pub deterministic: bool,
    /// Folder of journal and receipts [default: $XDG_DATA_HOME/grail or ~/.local/share/grail].
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub data_dir: Option<PathBuf>,
    /// Folder of the tapes, for replay, or `off` [default: `tapes` in the data folder].
    #[arg(long, value_name = "off|DIR", help_heading = "Files")]
    pub tape: Option<PathBuf>,
    /// Use block hash and beacon as randomness, as validators do; the default.
    #[arg(long, overrides_with = "no_drand", help_heading = "Randomness")]
    pub use_drand: bool,
    /// Use the block hash alone as randomness.
    #[arg(long, help_heading = "Randomness")]
    pub no_drand: bool,
    /// Maximum number of groups per window [default: as many as fit].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Generation")]
    pub groups_max: Option<u32>,
    /// Which clean groups to upload.
    #[arg(long, value_enum, default_value_t = PolicyChoice::Score, help_heading = "Upload")]
    pub policy: PolicyChoice,
    /// Seed of the sampling [default: derived from the write key, so that it stays secret].
    #[arg(long, help_heading = "Generation")]
    pub seed: Option<u64>,
    /// Try this machine: generate one window, judge it here by the validator's rules, and publish nothing. Needs neither a
    /// wallet nor a registration.
    #[arg(long = "try")]
    pub trial: bool,
    /// Mine although another installation recently mined with this hotkey.
    #[arg(long, help_heading = "Safety")]
    pub take_over: bool,
    /// Serve /metrics, /healthz and /readyz here, and on / the report and timeline of today; port 0 for a free one [default with
    /// GRAIL_MONITORING_BACKEND=prometheus: 127.0.0.1:9464].
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Monitoring")]
    pub metrics_listen: Option<SocketAddr>,
    /// Allow --metrics-listen an address that other machines can reach; there is no authentication.
    #[arg(long, requires = "metrics_listen", help_heading = "Monitoring")]
    pub metrics_public: bool,
    /// Format of the log on standard error [default: GRAIL_LOG_FORMAT].
    #[arg(long, value_enum, value_name = "text|json", help_heading = "Output")]
    pub log_format: Option<LogFormat>,
    /// Print each window's receipt as a JSON object.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// `grail sim`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n\
        \x20 grail sim\n\
        \x20 grail sim --engine synthetic --seed 7 --faults random --html run.html\n\
        \x20 grail sim --scenario beacon-outage")]
pub struct SimArguments {
    /// Serve the world, or run many of them.
    #[command(subcommand)]
    pub command: Option<SimCommand>,
    /// Seed of all randomness.
    #[arg(long, default_value_t = 0, help_heading = "World")]
    pub seed: u64,
    /// Number of windows to mine and judge.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "World")]
    pub windows: u64,
    /// Source of the rollouts: the embedded toy model, or a formula.
    #[arg(long, value_enum, default_value_t = EngineChoice::Toy, help_heading = "Miner")]
    pub engine: EngineChoice,
    /// Whose world: a validator's is drawn by --seed alone, as `grail sim swarm` draws it.
    #[arg(long, value_enum, default_value_t = Role::Miner, help_heading = "World")]
    pub role: Role,
    /// Faults: none, random, or a comma-separated list.
    #[arg(long, default_value = "none", value_name = "none|LIST|random", help_heading = "World")]
    pub faults: String,
    /// Speed of the engine in virtual time: a100, h100, h200 or reference; `grail estimate` says what such a GPU would earn.
    #[arg(long, default_value = "a100", help_heading = "Miner")]
    pub speed: String,
    /// Write one self-contained page: the timeline of every window.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Run a scenario, by name or from a file; it sets the world and states the expected results.
    #[arg(
        long, value_name = "NAME|FILE",
        conflicts_with_all = [
            "seed", "windows", "engine", "faults", "speed", "rejected", "uplink", "groups_max", "policy", "no_drand"
        ], help_heading = "World")]
    pub scenario: Option<String>,
    /// List the scenarios.
    #[arg(long, help_heading = "World")]
    pub list: bool,
    /// List every fault with its meaning.
    #[arg(long)]
    pub list_faults: bool,
    /// Rollouts in a hundred that end with an improbable token, and that the self-check rejects [default: 1]; with the synthetic
    /// engine.
    #[arg(long, value_name = "PERCENT", value_parser = percent, help_heading = "World")]
    pub rejected: Option<f64>,
    /// Bytes that the link to the bucket carries in a millisecond [default: 5000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "World")]
    pub uplink: Option<u64>,
    /// Most groups per window; 0 for as many as the speed allows [default: 5 with toy, 0 with synthetic].
    #[arg(long, help_heading = "Miner")]
    pub groups_max: Option<u32>,
    /// Which clean groups to upload.
    #[arg(long, value_enum, default_value_t = PolicyChoice::Score, help_heading = "Miner")]
    pub policy: PolicyChoice,
    /// Use the block hash alone as randomness.
    #[arg(long, help_heading = "Miner")]
    pub no_drand: bool,
    /// Run the world in this .case file, as `grail sim swarm` writes it; other options are ignored.
    #[arg(long, value_name = "FILE", help_heading = "World")]
    pub case: Option<PathBuf>,
    /// Write every event and action to this file.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub trace: Option<PathBuf>,
    /// Record a tape of the run to this folder [default: off].
    #[arg(long, value_name = "off|DIR", help_heading = "Output")]
    pub tape: Option<PathBuf>,
    /// Write the uploaded window files to this folder.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// The subcommands of `grail sim`.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Serve the simulated chain, beacon and bucket on loopback in real time, for an unmodified miner.
    ///
    /// When everything listens, DIR/.env holds what `grail mine --env-file DIR/.env --device cpu` needs in another terminal.
    /// A validator judges each window that started after the miner's commitment. While it runs, lines on standard input
    /// switch faults: `fault NAME [for SECONDS|until off]`, `heal [NAME]`, `list`.
    Serve(ServeArguments),
    /// Run many worlds, each with its own faults and settings, and shrink those that fail.
    Swarm(swarm::SwarmArguments),
    /// Run a world in two processes, and show the first difference.
    Check(swarm::CheckArguments),
}

/// `grail sim serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail sim serve --dir world --windows 2\n\
        \x20 grail sim serve --dir world --faults socket-cut")]
pub struct ServeArguments {
    /// Folder for .env, wallet and objects.
    #[arg(long, value_name = "DIR", required_unless_present = "list_faults")]
    pub dir: Option<PathBuf>,
    /// Stop after this many judged windows, with exit code 0 if all were accepted.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub windows: Option<u64>,
    /// Seconds between two blocks.
    #[arg(long, default_value_t = 0.25, value_name = "SECONDS")]
    pub block_time: f64,
    /// Device on which the validator recomputes proofs: cpu, cuda, or cuda:1 for the second GPU. Miners must use the
    /// same kind.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// PyTorch release whose rounding the proofs follow, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "NUMERICS")]
    pub numerics: TorchNumerics,
    /// Faults in every window: none, all, or a comma-separated list.
    #[arg(long, default_value = "none", value_name = "LIST")]
    pub faults: String,
    /// List every fault with its meaning.
    #[arg(long)]
    pub list_faults: bool,
    /// Seed of the keys and of the times of the listed faults, for tests: anyone who knows it has the keys
    /// [default: random keys].
    #[arg(long)]
    pub seed: Option<u64>,
    /// The runtime that the chain starts with, by its spec version.
    #[arg(long, value_enum, default_value_t = RuntimeChoice::Spec461)]
    pub metadata: RuntimeChoice,
    /// Print one JSON object per judged window, and everything else to standard error.
    #[arg(long)]
    pub json: bool,
}

/// A runtime of the served chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeChoice {
    /// Of the main network, metadata version 16.
    #[value(name = "365")]
    Spec365,
    /// Of a local network, metadata version 15.
    #[value(name = "461")]
    Spec461,
}

/// `grail verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail verify window.json.gz --block-hash 0x90f6…\n\
        \x20 grail verify window.json.gz --block-hash 0x90f6… --device cuda --model DIR --all")]
pub struct VerifyArguments {
    /// The window file, gzipped or plain.
    pub file: PathBuf,
    /// Hash of the window's first block, `0x` and 64 hex digits.
    #[arg(long, value_name = "HASH")]
    pub block_hash: String,
    /// Address of the miner that must own the file [default: the file's wallet].
    #[arg(long, value_name = "ADDRESS")]
    pub hotkey: Option<String>,
    /// Address of the validator whose draw of groups is used [default: the miner].
    #[arg(long, value_name = "ADDRESS")]
    pub validator: Option<String>,
    /// Randomness of the validator's draw of groups and positions [default: from the block hash].
    #[arg(long, value_name = "HEX")]
    pub randomness: Option<String>,
    /// The model: a folder with config.json, model.safetensors and tokenizer.json, or `toy`; on a CUDA device also
    /// a hub id.
    #[arg(long, default_value = "toy", value_name = "DIR|toy")]
    pub model: String,
    /// Device that recomputes: cpu, cuda, or cuda:1 for the second GPU. A GPU's proof does not verify on a CPU.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// PyTorch release whose rounding the proofs follow, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "NUMERICS")]
    pub numerics: TorchNumerics,
    /// Check every rollout, and continue after a failure.
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Source of simulated rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// The embedded toy model on the CPU.
    Toy,
    /// Tokens by seed and proofs by formula: fast, and the same on every machine.
    Synthetic,
}

impl EngineChoice {
    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Toy => "toy",
            Self::Synthetic => "synthetic",
        }
    }
}

/// A share that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a number from 0 to 50; give rollouts in a hundred, as in 0.1")]
struct PercentError(String);

/// Returns a share in percent.
fn percent(text: &str) -> Result<f64, PercentError> {
    let number = text.parse().ok().filter(|number| (0.0..=50.0).contains(number));
    number.ok_or_else(|| PercentError(text.to_owned()))
}
