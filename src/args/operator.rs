//! Arguments of the operator's commands.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use grail_cuda::TorchNumerics;

use super::{EnvFileArgument, Role};
use grail_live::device::{DeviceChoice, DeviceSet};
use grail_operator::init::InitNetwork;

/// Which running miner.
#[derive(Debug, Args)]
pub struct MinerArgument {
    /// The miner's data folder [default: $XDG_DATA_HOME/grail or ~/.local/share/grail].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The beginning of its hotkey's address, where several miners share the folder.
    #[arg(long, value_name = "ADDRESS")]
    pub hotkey: Option<String>,
}

/// `grail config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail config show --origin")]
pub struct ConfigArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The subcommands of `grail config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every key with its value, secrets as length and fingerprint; then doubtful and wrong values.
    Show(ConfigShowArguments),
}

/// `grail config show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail config show --origin\n  grail config show --env-file world/.env --json")]
pub struct ConfigShowArguments {
    /// Show the source of each value, and the values that lost against it.
    #[arg(long)]
    pub origin: bool,
    /// The configuration file.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `grail doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail doctor\n\
        \x20 grail doctor --env-file world/.env --device cpu --data-dir data")]
pub struct DoctorArguments {
    /// The configuration file.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Device that generates rollouts: cpu, cuda, cuda:1 for the second GPU, or cuda:0,1 for several; cpu works only on
    /// custom networks.
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    pub device: DeviceSet,
    /// The model: a folder, the id of a model in the Hugging Face cache, or `toy` [default: GRAIL_MODEL_NAME].
    #[arg(long, value_name = "DIR|ID|toy")]
    pub model: Option<String>,
    /// Folder of the journal [default: ~/.local/share/grail].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Use the block hash alone as randomness.
    #[arg(long)]
    pub no_drand: bool,
    /// Apply safe fixes: permissions of `.env` and hotkey, and the data folder.
    #[arg(long)]
    pub fix: bool,
    /// Role to check: a miner, or a validator (uid, permit, commit-reveal, rate limit, miners, model).
    #[arg(long, value_enum, default_value_t = Role::Miner)]
    pub role: Role,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `grail init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail init\n  grail init --network served")]
pub struct InitArguments {
    /// The network; asked for if it is not given.
    #[arg(long, value_enum)]
    pub network: Option<InitNetwork>,
    /// The file to write; an existing file is never overwritten.
    #[arg(long, value_name = "FILE", default_value = ".env")]
    pub env_file: PathBuf,
    /// The folder of all wallets.
    #[arg(long, value_name = "DIR", default_value = "~/.bittensor/wallets")]
    pub wallets: String,
}

/// `grail stop`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail stop\n  grail stop --after-window")]
pub struct StopArguments {
    /// Which process.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// Finish the window and upload it first; without this, upload the clean groups at once.
    #[arg(long)]
    pub after_window: bool,
    /// Return at once instead of waiting until the process has stopped.
    #[arg(long)]
    pub no_wait: bool,
}

/// `grail top`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail top\n  grail top --json")]
pub struct TopArguments {
    /// Which process.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// Print the present state as one JSON object, and exit.
    #[arg(long)]
    pub json: bool,
}

/// `grail why`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail why 3000030\n\
        \x20 grail why 30 --env-file world/.env --device cpu --data-dir data")]
pub struct WhyArguments {
    /// A block of the window [default: the last window that was not uploaded].
    #[arg(value_name = "BLOCK")]
    pub window: Option<u64>,
    /// Folder of the tapes, which show what happened [default: `tapes` in the data folder].
    #[arg(long, value_name = "DIR")]
    pub tapes: Option<PathBuf>,
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// The configuration file, for bucket and chain.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Device that recomputes: cuda, cuda:1 for the second GPU, or cpu. A GPU's proof does not verify on a CPU.
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// The model [default: GRAIL_MODEL_NAME].
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// PyTorch release whose rounding the proofs follow, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "NUMERICS")]
    pub numerics: TorchNumerics,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `grail bundle`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail bundle 3000030 --log miner.log")]
pub struct BundleArguments {
    /// The window's first block.
    pub window: u64,
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// File of the configuration; the archive shows it without secrets, and they are removed everywhere else.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Folder of the tapes [default: `tapes` in the data folder].
    #[arg(long, value_name = "DIR")]
    pub tapes: Option<PathBuf>,
    /// File of the miner's log; its last 2 MiB go into the archive.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// File to write [default: grail-bundle-WINDOW.tar.gz].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `grail report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail report --since 24h")]
pub struct ReportArguments {
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// The configuration file: the command asks the chain for the present weights.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Show a validator's findings instead: verdicts as a matrix of miners and windows.
    #[arg(long)]
    pub validator: bool,
    /// Only windows that ended within this time: 90m, 24h or 7d [default: all of them].
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// File to write [default: grail-report.html].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A time that is over: a number with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Since {
    /// In seconds.
    pub seconds: f64,
    count: u32,
    unit: char,
}

impl Since {
    /// As it was typed.
    pub fn text(&self) -> String {
        format!("{}{}", self.count, self.unit)
    }
}

/// Not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write a number with s, m, h or d, such as 24h")]
pub struct SinceError(String);

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || SinceError(text.to_owned());
        let unit = text.chars().last().ok_or_else(malformed)?;
        let each = match unit {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3_600.0,
            'd' => 86_400.0,
            _ => return Err(malformed()),
        };
        let count: u32 = text[..text.len() - 1].parse().map_err(|_| malformed())?;
        Ok(Self { seconds: f64::from(count) * each, count, unit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let seconds = |text: &str| text.parse::<Since>().map(|since| since.seconds);
        assert_eq!([seconds("90m"), seconds("24h"), seconds("7d")], [Ok(5_400.0), Ok(86_400.0), Ok(604_800.0)]);
        for wrong in ["", "h", "24", "-1h", "1.5h", "ü", "24 h", "1w"] {
            assert!(wrong.parse::<Since>().unwrap_err().to_string().contains("24h"), "{wrong}");
        }
    }
}
