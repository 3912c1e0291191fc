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

/// Says why the miner does not start: the checks that prevent it are in the log already.
pub(super) fn prevented(examination: &Examination, exit: Exit) {
    let mut obstacles = examination.failures().filter(|check| check.hindrance.is_some());
    let first = obstacles.next().map_or_else(String::new, |check| {
        let remedy = check.remedy.as_deref().unwrap_or_default();
        format!(": {}: {}; {remedy}", check.code, check.value)
    });
    let more = match obstacles.count() {
        0 => String::new(),
        more => format!(" ({more} more; `grail doctor` shows all)"),
    };
    super::super::failed(exit, &format!("the miner does not start{first}{more}"));
}

/// Says that another miner has the hotkey.
pub(super) fn refused(why: &dyn std::fmt::Display) -> Exit {
    super::super::failed(Exit::Elsewhere, &printable(&why.to_string()));
    Exit::Elsewhere
}

/// Ends the process, whose event loop stands still.
pub(super) fn stalled() {
    output::aside(format_args!(
        "grail: nothing happened for {STALLED_LOOP_BLOCKS} block times, not even an error; ending, to be started again"
    ));
    std::process::exit(Exit::Retry.code().into());
}
