//! What an event says about the port that answered it.

use grail_miner::machine::{Area, Event};
use grail_miner::ports::BucketError;

/// Returns the port that an event answers for, and the error where it did not answer as it should.
///
/// A commitment that the chain refuses says nothing about the chain's health, so it is not an answer here.
pub(crate) fn answer(event: &Event) -> Option<(Area, Result<(), String>)> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let failure = |area, error: Option<String>| Some((area, error.map_or(Ok(()), Err)));
    match event {
        Event::HeadMoved(_) => Some((Area::Chain, Ok(()))),
        Event::HeadFailed(error) => Some((Area::Chain, Err(text(error)))),
        Event::BlockHashRead { result, .. } => failure(Area::Chain, result.as_ref().err().map(|error| text(error))),
        Event::RegistrationRead(result) => failure(Area::Chain, result.as_ref().err().map(|error| text(error))),
        Event::CommitmentRead(result) => failure(Area::Chain, result.as_ref().err().map(|error| text(error))),
        Event::BeaconAnswered { result, .. } => failure(Area::Beacon, result.as_ref().err().map(|error| text(error))),
        // The engine generated the group, even if the self-check rejects it.
        Event::GroupReady { .. } => Some((Area::Engine, Ok(()))),
        Event::GroupFailed { why, .. } => Some((Area::Engine, Err(why.clone()))),
        // The bucket works when it says that a condition does not hold.
        Event::UploadAnswered { result: Err(BucketError::ConditionFailed), .. } => Some((Area::Bucket, Ok(()))),
        Event::UploadAnswered { result, .. } => failure(Area::Bucket, result.as_ref().err().map(|error| text(error))),
        Event::ObjectRead { result, .. } => failure(Area::Bucket, result.as_ref().err().map(|error| text(error))),
        Event::ObjectDeleted { result, .. } => failure(Area::Bucket, result.as_ref().err().map(|error| text(error))),
        Event::JournalAnswered { result, .. } => failure(Area::Journal, result.as_ref().err().map(|error| text(error))),
        Event::Started(_) | Event::CommitmentAnswered(_) | Event::TimerFired(_) | Event::Shutdown => None,
    }
}
