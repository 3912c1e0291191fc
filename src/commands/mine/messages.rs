//! Messages at a miner's start and end.

use crate::args::MineArguments;
use crate::exit::Exit;
use grail_journal::{FileJournal, SetAside};
use grail_live::device::DeviceSet;
use grail_observe::thresholds::STALLED_LOOP_BLOCKS;
use grail_operator::doctor::Examination;
use grail_terminal::{output, printable};

/// Warns of damage in the journal.
pub(super) fn warn_of_journal(journal: &FileJournal) {
    if let Some(SetAside { path, why }) = journal.set_aside() {
        tracing::warn!(
            "the journal is damaged: {why}; it was moved to {}, and a new one starts: clean groups of at most one window \
             are generated again",
            path.display()
        );
    }
    if journal.opened().torn_bytes > 0 {
        tracing::warn!("journal: cut off {} bytes that a crash left incomplete", journal.opened().torn_bytes);
    }
}

/// Reports why the miner does not start; the failed checks are in the log already.
pub(super) fn prevented(examination: &Examination, exit: Exit) {
    super::super::failed(exit, &format!("the miner does not start{}", examination.hindrances()));
}

/// Returns the device with its numerics, from the startup checks.
pub(super) fn describe_device(arguments: &MineArguments, examination: &Examination) -> String {
    let values = |code| examination.values(code);
    match &arguments.device {
        DeviceSet::Cpu => values("gpu.device"),
        DeviceSet::Cuda(_) => {
            format!("{}; cuBLAS {}; {}", values("gpu.device"), values("gpu.cublas"), arguments.numerics.name())
        }
    }
}

/// Reports that another miner has the hotkey.
pub(super) fn hotkey_taken(why: &dyn std::fmt::Display) -> Exit {
    super::super::failed(Exit::Unavailable, &printable(&why.to_string()));
    Exit::Unavailable
}

/// Ends the process because its event loop is stuck.
pub(super) fn end_stalled() {
    output::aside(format_args!(
        "grail: no event for {STALLED_LOOP_BLOCKS} block times; the event loop is stuck and the process ends; start it again"
    ));
    std::process::exit(Exit::Retry.code().into());
}
