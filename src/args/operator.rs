//! What the commands of a miner's operator take: `top`, `stop`, `why`, `bundle` and `report`.

use std::path::PathBuf;

use clap::Args;
use grail_engine::cuda::TorchProfile;

use super::EnvFileArgument;
use crate::device::DeviceChoice;

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

/// `grail stop`.
#[derive(Debug, Args)]
pub struct StopArguments {
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// Let it go on to the end of the window and upload that; without this, what is clean is uploaded at once.
    #[arg(long)]
    pub after_window: bool,
    /// Return at once, and not when it has ended.
    #[arg(long)]
    pub no_wait: bool,
}

/// `grail top`.
#[derive(Debug, Args)]
pub struct TopArguments {
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// Print how it is now as one JSON object, and end.
    #[arg(long)]
    pub json: bool,
}

/// `grail why`.
#[derive(Debug, Args)]
pub struct WhyArguments {
    /// The window's first block.
    pub window: u64,
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// Where the configuration of bucket and chain is.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Where proofs are computed again: cuda, cuda:1 for the second card, or cpu. A proof has the bits of what computed it.
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// The model [default: GRAIL_MODEL_NAME].
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Whose bits, on a CUDA device: torch-2.8 or torch-2.10.
    #[arg(long, default_value = "torch-2.8", value_name = "PROFILE")]
    pub profile: TorchProfile,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `grail bundle`.
#[derive(Debug, Args)]
pub struct BundleArguments {
    /// The window's first block.
    pub window: u64,
    /// Which miner.
    #[command(flatten)]
    pub miner: MinerArgument,
    /// Where the configuration is: it is shown without secrets, and they are looked for everywhere else.
    #[command(flatten)]
    pub env_file: EnvFileArgument,
    /// Where the tapes lie [default: `tapes` in the data folder].
    #[arg(long, value_name = "DIR")]
    pub tapes: Option<PathBuf>,
    /// A file that the miner's log was written to; its last 2 MiB go into the archive.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Where to [default: grail-bundle-WINDOW.tar.gz].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
