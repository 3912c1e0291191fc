//! Arguments of `grail validate` and `grail network`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use grail_config::LogFormat;
use grail_cuda::TorchNumerics;
use grail_live::device::DeviceChoice;
use grail_validator::WEIGHTS_BLOCKS;

use super::EnvFileArgument;

/// `grail validate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail validate --env-file validator.env\n  grail validate --dry-run")]
pub struct ValidateArguments {
    /// The configuration file.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Device that recomputes proofs: cuda, cuda:1 for the second GPU, or cpu on custom networks. Must be the miners'
    /// kind of device.
    #[arg(long, default_value = "cuda", value_name = "DEVICE", help_heading = "Judging")]
    pub device: DeviceChoice,
    /// PyTorch release whose rounding the proofs follow, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "NUMERICS", help_heading = "Judging")]
    pub numerics: TorchNumerics,
    /// Folder of journal and receipts [default: $XDG_DATA_HOME/grail or ~/.local/share/grail].
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub data_dir: Option<PathBuf>,
    /// Folder of the tapes, for replay, or `off` [default: `validator-tapes` in the data folder].
    #[arg(long, value_name = "off|DIR", help_heading = "Files")]
    pub tape: Option<PathBuf>,
    /// Judge and compute weights, but set none.
    #[arg(long, help_heading = "Weights")]
    pub dry_run: bool,
    /// Judge this miner alone; weights are not set.
    #[arg(long, value_name = "HOTKEY", help_heading = "Judging")]
    pub only: Option<String>,
    /// Count a file that was written after its window's end as missing; release 0.0.12 accepts it.
    #[arg(long, help_heading = "Judging")]
    pub strict_time: bool,
    /// Use the block hash alone as randomness.
    #[arg(long, help_heading = "Judging")]
    pub no_drand: bool,
    /// Set weights at most once in this many blocks; validators of the public network use 360.
    #[arg(long, value_name = "BLOCKS", default_value_t = WEIGHTS_BLOCKS, value_parser = clap::value_parser!(u64).range(30..=100_000), help_heading = "Weights")]
    pub weights_blocks: u64,
    /// Publish the valid rollouts of accepted miners to our own bucket after each window, as the reference does; needs the
    /// bucket's variables, as a miner does.
    #[arg(long, help_heading = "Files")]
    pub publish: bool,
    /// Serve /metrics, /healthz and /readyz here, and the verdicts on /; port 0 for a free one.
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Monitoring")]
    pub metrics_listen: Option<SocketAddr>,
    /// Allow --metrics-listen an address that other machines can reach; there is no authentication.
    #[arg(long, requires = "metrics_listen", help_heading = "Monitoring")]
    pub metrics_public: bool,
    /// Write metrics to this file after each window, in Prometheus' text format, for a node exporter's text file collector.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub metrics_file: Option<PathBuf>,
    /// Format of the log on standard error [default: GRAIL_LOG_FORMAT].
    #[arg(long, value_enum, value_name = "text|json", help_heading = "Output")]
    pub log_format: Option<LogFormat>,
    /// Print each receipt as a JSON object.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Role of a process in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It mines.
    Miner,
    /// It judges miners and sets weights.
    Validator,
}

/// `grail network`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail network --miners 3 --validators 2 --windows 3 --dir net")]
pub struct NetworkArguments {
    /// Miners, each its own process.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub miners: u16,
    /// Validators, each its own process.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub validators: u16,
    /// Stop once every validator has judged this many windows in which every miner was ready.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub windows: Option<u64>,
    /// Folder for everything: configuration, wallets, objects, data and logs of each process.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Seconds between two blocks.
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    pub block_time: f64,
    /// Most groups that each miner makes in a window.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub groups_max: u32,
    /// Add a miner that cheats in this way, for tests: CopiedFile, OtherModel, CutShort or another.
    #[arg(long, value_name = "KIND")]
    pub cheat: Option<String>,
    /// The made-up keys follow from this number, for tests: anyone who knows it has the keys [default: random keys].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
}
