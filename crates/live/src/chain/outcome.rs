//! Outcome of an extrinsic, from the events of its block and from the pool's errors.

use grail_miner::ports::CommitError;
use subxt::error::DispatchError;
use subxt::events::Phase;

use super::failure::Failure;
use super::runtime::Runtime;

/// Codes by which the transaction pool refuses, with what follows.
const POOL_REFUSALS: [(i32, &str); 4] = [
    (1010, "the transaction is invalid; it is made again"),
    (1012, "the transaction is banned for a while after an earlier refusal; it is retried"),
    (1013, "the same transaction is in the pool already; its result is read later"),
    (1014, "another transaction of this hotkey waits in the pool; run one miner per hotkey"),
];

/// Returns a submission that the node answered with an error.
pub(super) fn submission_error(failure: Failure) -> CommitError {
    match failure {
        Failure::Answered { code, text } => {
            let known = POOL_REFUSALS.iter().find(|(known, _)| *known == code);
            let meaning = known.map_or("the node does not take it", |(_, meaning)| meaning);
            CommitError::Refused(format!("{meaning} (error {code}: {text})"))
        }
        Failure::RateLimited => Failure::RateLimited.before_sending(),
        failure => failure.after_sending(),
    }
}

/// The outcome of the extrinsic at `index` of a block, from the block's events.
pub(super) fn outcome(runtime: &Runtime, events: Vec<u8>, index: u32, netuid: u16) -> Result<(), CommitError> {
    let unknown = |what: &str| CommitError::Unknown(format!("the events of its block cannot be read: {what}"));
    let block = runtime.at_number(0).map_err(Failure::after_sending)?;
    let events = block.events().from_bytes(events);
    for event in events.iter() {
        let event = event.map_err(|error| unknown(&error.to_string()))?;
        if event.phase() != Phase::ApplyExtrinsic(index) || event.pallet_name() != "System" {
            continue;
        }
        match event.event_name() {
            "ExtrinsicSuccess" => return Ok(()),
            "ExtrinsicFailed" => {
                let error = DispatchError::decode_from(event.field_bytes(), runtime.metadata());
                let error = error.map_err(|error| unknown(&error.to_string()))?;
                return Err(CommitError::Refused(refusal(&error, netuid)));
            }
            _ => {}
        }
    }
    Err(unknown("none tells of it"))
}

fn refusal(error: &DispatchError, netuid: u16) -> String {
    let DispatchError::Module(module) = error else { return error.to_string() };
    let Ok(details) = module.details() else { return module.details_string() };
    let (pallet, name) = (details.pallet.name(), details.variant.name.as_str());
    let meaning = match (pallet, name) {
        ("Commitments", "TooManyFieldsInCommitmentInfo") => "the commitment has too many fields for this chain",
        ("Commitments", "AccountNotAllowedCommit") => {
            return format!("{name}: the hotkey is not registered on subnet {netuid}; register it");
        }
        ("Commitments", "SpaceLimitExceeded") => "this epoch's space for commitments is used up; it is retried",
        ("Commitments", "UnexpectedUnreserveLeftover") => "a deposit could not be returned; it is retried",
        _ => return format!("{pallet}.{name}"),
    };
    format!("{name}: {meaning}")
}
