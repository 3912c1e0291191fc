//! Messages at a miner's start and end.

use crate::exit::Exit;
use crate::output;
use grail_live::journal::{FileJournal, SetAside};
use grail_observe::thresholds::STALLED_LOOP_BLOCKS;
use grail_operator::doctor::{Examination, Status};
use grail_terminal::printable;

/// Warns of what was wrong with the journal.
pub(super) fn tell_of(journal: &FileJournal) {
    if let Some(SetAside { path, why }) = journal.set_aside() {
        tracing::warn!(
            "the journal could not be trusted: {why}; it lies in {} now, and another one begins: of one window, what was \
             clean is generated again",
            path.display()
        );
    }
    if journal.opened().torn_bytes > 0 {
        tracing::warn!("journal: {} bytes that a crash left unfinished were cut off", journal.opened().torn_bytes);
    }
}

/// Logs what the startup checks found.
pub(super) fn found(examination: &Examination) {
    for check in examination.checks.iter().filter(|check| matches!(check.status, Status::Warning | Status::Failure)) {
        let remedy = check.remedy.as_deref().unwrap_or_default();
        match check.hindrance.is_some() {
            true => tracing::error!("{}: {}: {remedy}", check.code, check.value),
            false => tracing::warn!("{}: {}: {remedy}", check.code, check.value),
        }
    }
}

/// Says that another miner has the hotkey.
pub(super) fn refused(why: &dyn std::fmt::Display) -> Exit {
    output::aside(format_args!("grail: {}", printable(&why.to_string())));
    Exit::Elsewhere
}

/// Ends the process, whose event loop stands still.
pub(super) fn stalled() {
    output::aside(format_args!(
        "grail: nothing happened for {STALLED_LOOP_BLOCKS} block times, not even an error; ending, to be started again"
    ));
    std::process::exit(Exit::Retry.code().into());
}
