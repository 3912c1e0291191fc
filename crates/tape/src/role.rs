//! What a tape records: the core of a miner, or that of a validator.

mod miner;
mod validator;

use std::fmt::Debug;

use grail_miner::actions::Actions;
use grail_miner::outstanding::Question;
use grail_miner::ports::Now;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The core of a miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miner {}

/// The core of a validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validator {}

/// A core whose events and actions a tape records.
pub trait Role: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// First bytes of its tapes.
    const MAGIC: [u8; 8];
    /// Its name in a list.
    const ROLE: &'static str;
    /// How messages call it.
    const NAME: &'static str;

    /// Its settings, without secrets.
    type Settings: Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned;
    /// Its inputs.
    type Event: Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned;
    /// Its outputs.
    type Action: Debug + Question<Event = Self::Event>;
    /// The core.
    type Machine: Clone;
    /// Its whole state.
    type Snapshot: Send + Serialize + 'static;

    /// Returns the core before its first event; `read_credentials` are a miner's, or a placeholder.
    fn machine(settings: &Self::Settings, read_credentials: &[u8]) -> Self::Machine;
    /// Returns the core in a recorded state; none if this build does not understand the state.
    fn restored(settings: &Self::Settings, read_credentials: &[u8], state: &Value) -> Option<Self::Machine>;
    /// Handles one event.
    fn handle(machine: &mut Self::Machine, now: Now, event: Self::Event) -> Actions<Self::Action>;
    /// Returns the whole state. Between windows it holds no secret.
    fn snapshot(machine: &Self::Machine) -> Self::Snapshot;
    /// Returns the first block of the window that the core works on.
    fn window(machine: &Self::Machine) -> Option<u64>;
    /// Returns whether a process started with this event.
    fn is_start(event: &Self::Event) -> bool;
    /// Returns the kind of an event, as one word.
    fn kind(event: &Self::Event) -> &'static str;
    /// Returns the event in a line.
    fn event_line(event: &Self::Event) -> String;
    /// Returns the action in a line.
    fn action_line(action: &Self::Action) -> String;
    /// Returns the event without secrets.
    fn redacted(event: &Self::Event) -> Self::Event;
    /// Returns the line of the action without secrets.
    fn redacted_line(action: &Self::Action) -> String;
    /// Returns the window that starts with these actions of one step.
    fn opened(actions: &[String]) -> Option<u64>;
    /// Returns window and outcome, if this action reports one.
    fn outcome(action: &str) -> Option<(u64, String)>;
    /// Does work for a replay of these events ahead, on all processors.
    fn prepare(events: &[&Self::Event]);
}
