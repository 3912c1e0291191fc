//! State of a port, from the events that it answered.

use std::fmt::Display;

use grail_miner::machine::{Area, Event};
use grail_miner::ports::BucketError;

/// How a port answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortAnswer {
    /// As it should.
    Fine,
    /// With this error.
    Failed(String),
}

/// Returns the port that an event belongs to, and its error, if any.
///
/// A commitment that the chain refuses says nothing about the chain's health, so it is not an answer here.
pub(crate) fn answer(event: &Event) -> Option<(Area, PortAnswer)> {
    Some(match event {
        Event::HeadMoved(_) => (Area::Chain, PortAnswer::Fine),
        Event::HeadFailed(error) => (Area::Chain, PortAnswer::Failed(error.to_string())),
        Event::BlockHashRead { result, .. } => (Area::Chain, answered(result)),
        Event::RegistrationRead(result) => (Area::Chain, answered(result)),
        Event::CommitmentRead(result) => (Area::Chain, answered(result)),
        Event::BeaconAnswered { result, .. } => (Area::Beacon, answered(result)),
        // The engine generated the group, even if the self-check rejects it.
        Event::GroupReady { .. } => (Area::Engine, PortAnswer::Fine),
        Event::GroupFailed { why, .. } => (Area::Engine, PortAnswer::Failed(why.clone())),
        // The bucket works when it says that a condition does not hold.
        Event::UploadAnswered { result: Err(BucketError::ConditionFailed), .. } => (Area::Bucket, PortAnswer::Fine),
        Event::UploadAnswered { result, .. } => (Area::Bucket, answered(result)),
        Event::ObjectRead { result, .. } => (Area::Bucket, answered(result)),
        Event::ObjectDeleted { result, .. } => (Area::Bucket, answered(result)),
        Event::JournalAnswered { result, .. } => (Area::Journal, answered(result)),
        Event::Started(_) | Event::CommitmentAnswered(_) | Event::TimerFired(_) | Event::Shutdown => return None,
    })
}

fn answered<T, E: Display>(result: &Result<T, E>) -> PortAnswer {
    result.as_ref().map_or_else(|error| PortAnswer::Failed(error.to_string()), |_| PortAnswer::Fine)
}
