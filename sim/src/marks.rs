//! Everything that a long enough swarm must reach: every fault, every failure of a port, every rare branch.

use grail_miner::machine::marks::MARKS;

use crate::faults::FaultKind;

/// Answers of ports and ends of windows.
const ANSWERS: &[&str] = &[
    "event/beacon/answered",
    "event/beacon/invalid",
    "event/beacon/unreachable",
    "event/block-hash/malformed",
    "event/block-hash/not-there",
    "event/block-hash/rate-limited",
    "event/block-hash/read",
    "event/block-hash/unreachable",
    "event/commit/done",
    "event/commit/refused",
    "event/commit/unknown",
    "event/commitment/malformed",
    "event/commitment/not-there",
    "event/commitment/rate-limited",
    "event/commitment/read",
    "event/commitment/unreachable",
    "event/group/clean",
    "event/group/failed",
    "event/group/rejected",
    "event/head/malformed",
    "event/head/moved",
    "event/head/rate-limited",
    "event/head/unreachable",
    "event/journal/failed",
    "event/journal/synced",
    "event/read-back/found",
    "event/read-back/not-there",
    "event/read-back/refused",
    "event/read-back/transient",
    "event/read-back/unknown",
    "event/registration/malformed",
    "event/registration/not-registered",
    "event/registration/rate-limited",
    "event/registration/registered",
    "event/registration/unreachable",
    "event/started/fresh",
    "event/started/recovered",
    "event/timer/fired",
    "event/upload/condition-failed",
    "event/upload/done",
    "event/upload/refused",
    "event/upload/transient",
    "event/upload/unknown",
    "receipt/kept-back",
    "receipt/lost",
    "receipt/not-registered",
    "receipt/nothing-ready",
    "receipt/reorganised",
    "receipt/uploaded",
    "trouble/beacon",
    "trouble/bucket",
    "trouble/chain",
    "trouble/commitment",
    "trouble/engine",
    "trouble/journal",
];

/// Returns every mark, sorted.
pub fn all() -> Vec<String> {
    let machine = MARKS.iter().map(|mark| format!("machine/{mark}"));
    let faults = FaultKind::ALL.iter().map(|kind| fault(*kind));
    let mut all: Vec<String> = machine.chain(faults).chain(ANSWERS.iter().map(|mark| (*mark).to_owned())).collect();
    all.sort_unstable();
    all
}

/// Returns the mark of a fault that had an effect.
pub fn fault(kind: FaultKind) -> String {
    format!("fault/{}", kind.name())
}
