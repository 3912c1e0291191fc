//! Arguments of `grail replay` and `grail tape`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use grail_operator::tapes::StepFilter;

/// `grail replay`. Exit codes: 0 equal, 1 diverged, 2 unreadable, 3 a model or device is missing here, 78 no CUDA
/// device can be used.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
        \x20 grail replay tapes\n\
        \x20 grail replay tapes/7-0.tape --step\n\
        \x20 grail replay tapes/7-0.tape --fork-at 100 --faults upload-error-before")]
pub struct ReplayArguments {
    /// Tapes, or folders of tapes.
    #[arg(value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// Continue after a difference.
    #[arg(long, help_heading = "Comparison")]
    pub lenient: bool,
    /// Replay this many steps only.
    #[arg(long, value_name = "N", help_heading = "Comparison")]
    pub until: Option<usize>,
    /// Replay the window that starts with this block only.
    #[arg(long, value_name = "BLOCK", help_heading = "Comparison")]
    pub window: Option<u64>,
    /// Rollouts: as recorded, or proved again (and drawn again if the seed is known) and compared.
    #[arg(long, value_enum, default_value_t = ReplayEngine::Recorded, help_heading = "Comparison")]
    pub engine: ReplayEngine,
    /// Model for --engine and --fork-at, if the tape does not name it: a folder, a hub id, or `toy`.
    #[arg(long, value_name = "MODEL", help_heading = "Comparison")]
    pub model: Option<String>,
    /// Continue in the simulated world from the state after this many steps, until that window and the next are over.
    #[arg(long, value_name = "N", conflicts_with_all = ["until", "window", "lenient", "engine"], help_heading = "Fork")]
    pub fork_at: Option<usize>,
    /// Seed of the world of --fork-at [default: the recorded seed].
    #[arg(long, requires = "fork_at", help_heading = "Fork")]
    pub seed: Option<u64>,
    /// Faults after --fork-at: none, random, or a comma-separated list.
    #[arg(long, default_value = "none", value_name = "none|LIST|random", requires = "fork_at", help_heading = "Fork")]
    pub faults: String,
    /// Print one JSON object per tape.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write one self-contained page for one tape: the first difference, and the timeline of every window.
    #[arg(long, value_name = "FILE", conflicts_with = "fork_at", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Step through one tape in the terminal: forward, back, and to where a condition holds.
    #[arg(long, conflicts_with_all = ["json", "html", "lenient", "until", "window", "engine", "fork_at"], help_heading = "Output")]
    pub step: bool,
}

/// `grail diff`. Exit codes: 0 every difference is accepted, 1 one is not, 2 the builds cannot be compared.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail diff tapes --against ./grail-0.1.0")]
pub struct DiffArguments {
    /// Tapes, or folders of tapes.
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// The other build of grail.
    #[arg(long, value_name = "PROGRAM")]
    pub against: PathBuf,
    /// File of accepted and rejected differences.
    #[arg(long, value_name = "FILE", default_value = "grail-diff.json")]
    pub review: PathBuf,
    /// Print one JSON object, and ask nothing.
    #[arg(long)]
    pub json: bool,
}

/// `grail tape`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail tape list tapes\n  grail tape show tapes/7-0.tape --event group_ready")]
pub struct TapeArguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: TapeCommand,
}

/// The subcommands of `grail tape`.
#[derive(Debug, Subcommand)]
pub enum TapeCommand {
    /// Every tape with its windows and how they ended.
    List(TapeListArguments),
    /// Show every step: its time, its event and its actions.
    Show(TapeShowArguments),
    /// Write steps as JSON lines, or one window as a separate tape.
    Export(TapeExportArguments),
}

/// `grail tape list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail tape list tapes")]
pub struct TapeListArguments {
    /// Tapes, or folders of tapes.
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// Print one JSON object per tape.
    #[arg(long)]
    pub json: bool,
}

/// `grail tape show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail tape show tapes/7-0.tape --window 3000030")]
pub struct TapeShowArguments {
    /// The tape.
    pub tape: PathBuf,
    /// Which steps.
    #[command(flatten)]
    pub filter: StepFilter,
}

/// `grail tape export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  grail tape export tapes/7-0.tape --window 3000030 --out one.tape")]
pub struct TapeExportArguments {
    /// The tape.
    pub tape: PathBuf,
    /// Which steps; --window alone writes a separate tape.
    #[command(flatten)]
    pub filter: StepFilter,
    /// Output file: a name that ends in `.tape` gets a tape, any other JSON lines [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Whose rollouts a replay looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayEngine {
    /// Those on the tape.
    Recorded,
    /// The tape's model on this processor.
    Cpu,
    /// The tape's model on the first CUDA device.
    Cuda,
}
