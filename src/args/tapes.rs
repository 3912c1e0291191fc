//! What `grail replay` and `grail tape` take.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};

/// `grail replay`. Exit codes: 0 equal, 1 diverged, 2 unreadable, 3 something that it needs is not here, 78 no CUDA device can
/// be used.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Tapes, or folders of tapes.
    #[arg(value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// Continue after a difference.
    #[arg(long)]
    pub lenient: bool,
    /// Replay this many steps only.
    #[arg(long, value_name = "N")]
    pub until: Option<usize>,
    /// Replay the window that starts with this block only.
    #[arg(long, value_name = "BLOCK")]
    pub window: Option<u64>,
    /// Whose rollouts: as recorded, or proved (and where the seed is known drawn) again and compared.
    #[arg(long, value_enum, default_value_t = ReplayEngine::Recorded)]
    pub engine: ReplayEngine,
    /// The model of --engine and --fork-at, where the tape does not name it: a folder, a hub id, or `toy`.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Continue from the state after this many steps in the simulated world, until that window and the next are over.
    #[arg(long, value_name = "N", conflicts_with_all = ["until", "window", "lenient", "engine"])]
    pub fork_at: Option<usize>,
    /// What the world of --fork-at follows from [default: the recorded seed].
    #[arg(long, requires = "fork_at")]
    pub seed: Option<u64>,
    /// What goes wrong after --fork-at: none, random, or a comma-separated list of faults.
    #[arg(long, default_value = "none", value_name = "none|LIST|random", requires = "fork_at")]
    pub faults: String,
    /// Print one JSON object per tape.
    #[arg(long)]
    pub json: bool,
    /// Write one self-contained page for one tape: the first difference, and the timeline of every window.
    #[arg(long, value_name = "FILE", conflicts_with = "fork_at")]
    pub html: Option<PathBuf>,
    /// Travel through one tape in the terminal: step by step, back, and to where a condition holds.
    #[arg(long, conflicts_with_all = ["json", "html", "lenient", "until", "window", "engine", "fork_at"])]
    pub step: bool,
}

/// `grail diff`. Exit codes: 0 no difference that is not accepted, 1 there is one, 2 it cannot be found out.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// Tapes, or folders of tapes.
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// The other build of grail.
    #[arg(long, value_name = "PROGRAM")]
    pub against: PathBuf,
    /// The file that keeps what was accepted and rejected.
    #[arg(long, value_name = "FILE", default_value = "grail-diff.json")]
    pub review: PathBuf,
    /// Print one JSON object, and ask nothing.
    #[arg(long)]
    pub json: bool,
}

/// `grail tape`.
#[derive(Debug, Args)]
pub struct TapeArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: TapeCommand,
}

/// The subcommands of `grail tape`.
#[derive(Debug, Subcommand)]
pub enum TapeCommand {
    /// Every tape with its windows and how they ended.
    List(TapeListArguments),
    /// Every step: when, what the core was told, what it asked for.
    Show(TapeShowArguments),
    /// Write steps as JSON lines, or one window as a tape of its own.
    Export(TapeExportArguments),
}

/// `grail tape list`.
#[derive(Debug, Args)]
pub struct TapeListArguments {
    /// Tapes, or folders of tapes.
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// Print one JSON object per tape.
    #[arg(long)]
    pub json: bool,
}

/// The kinds of events, as [`grail_miner::machine::Event::kind`] names them.
pub(crate) const EVENT_KINDS: [&str; 16] = [
    "started",
    "head_moved",
    "head_failed",
    "block_hash_read",
    "beacon_answered",
    "registration_read",
    "commitment_read",
    "commitment_answered",
    "group_ready",
    "group_failed",
    "journal_answered",
    "upload_answered",
    "object_read",
    "object_deleted",
    "timer_fired",
    "shutdown",
];

/// Which steps of a tape.
#[derive(Debug, Args)]
pub struct StepFilter {
    /// Only of the window that starts with this block.
    #[arg(long, value_name = "BLOCK")]
    pub window: Option<u64>,
    /// Only of this kind of event, such as head_moved or group_ready.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(EVENT_KINDS), hide_possible_values = true)]
    pub event: Option<String>,
    /// Only from this monotonic millisecond on.
    #[arg(long, value_name = "MS")]
    pub from: Option<u64>,
    /// Only up to this monotonic millisecond.
    #[arg(long, value_name = "MS")]
    pub to: Option<u64>,
}

/// `grail tape show`.
#[derive(Debug, Args)]
pub struct TapeShowArguments {
    /// The tape.
    pub tape: PathBuf,
    /// Which steps.
    #[command(flatten)]
    pub filter: StepFilter,
}

/// `grail tape export`.
#[derive(Debug, Args)]
pub struct TapeExportArguments {
    /// The tape.
    pub tape: PathBuf,
    /// Which steps; a tape of its own takes --window alone.
    #[command(flatten)]
    pub filter: StepFilter,
    /// Where to: a name that ends in `.tape` becomes a tape, any other JSON lines; standard output without it.
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
