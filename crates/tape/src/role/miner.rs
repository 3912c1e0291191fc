//! A miner's core on a tape.

use grail_miner::actions::Actions;
use grail_miner::machine::{Action, Event, Machine, MachineSecrets, MachineSettings, Snapshot};
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_protocol::group::SignedGroup;
use serde::Deserialize;
use serde_json::Value;

use super::{Miner, Role};
use crate::parallel::in_parallel;
use crate::redaction::stand_in;

impl Role for Miner {
    const MAGIC: [u8; 8] = *b"GRAILTAP";
    const ROLE: &'static str = "miner";
    const NAME: &'static str = "a miner";

    type Settings = MachineSettings;
    type Event = Event;
    type Action = Action;
    type Machine = Machine;
    type Snapshot = Snapshot;

    fn machine(settings: &MachineSettings, read_credentials: &[u8]) -> Machine {
        Machine::new(settings.clone(), secrets(read_credentials))
    }

    fn restored(settings: &MachineSettings, read_credentials: &[u8], state: &Value) -> Option<Machine> {
        let snapshot = Snapshot::deserialize(state).ok()?;
        Some(Machine::restore(settings.clone(), secrets(read_credentials), snapshot))
    }

    fn handle(machine: &mut Machine, now: Now, event: Event) -> Actions<Action> {
        machine.handle(now, event)
    }

    fn snapshot(machine: &Machine) -> Snapshot {
        machine.state().clone()
    }

    fn window(machine: &Machine) -> Option<u64> {
        machine.window_start()
    }

    fn is_start(event: &Event) -> bool {
        matches!(event, Event::Started(_))
    }

    fn kind(event: &Event) -> &'static str {
        event.kind()
    }

    fn event_line(event: &Event) -> String {
        event.summary()
    }

    fn action_line(action: &Action) -> String {
        action.summary()
    }

    fn redacted(event: &Event) -> Event {
        match event {
            Event::CommitmentRead(Ok(Some(credentials))) => Event::CommitmentRead(Ok(Some(stand_in(credentials)))),
            other => other.clone(),
        }
    }

    fn redacted_line(action: &Action) -> String {
        match action {
            Action::Commit(credentials) => Action::Commit(stand_in(credentials)).summary(),
            other => other.summary(),
        }
    }

    /// A window starts by asking for its first block's hash.
    fn opened(actions: &[String]) -> Option<u64> {
        actions.iter().find_map(|action| {
            let block: u64 = action.strip_prefix("ReadBlockHash ")?.parse().ok()?;
            block.is_multiple_of(PROTOCOL.window_blocks).then_some(block)
        })
    }

    fn outcome(action: &str) -> Option<(u64, String)> {
        let report: Value = serde_json::from_str(action.strip_prefix("Report ")?).ok()?;
        let receipt = report.get("Receipt")?;
        let outcome = receipt["outcome"].as_str()?;
        let outcome = match receipt["why"].as_str() {
            Some(why) => format!("{outcome}: {why}"),
            None => outcome.to_owned(),
        };
        Some((receipt["window_start"].as_u64()?, outcome))
    }

    /// Packs the groups for files, which is most of the work of a replay.
    fn prepare(events: &[&Event]) {
        let clean = events.iter().filter_map(|event| match event {
            Event::GroupReady { sealed, .. } if sealed.findings.is_empty() => Some(&sealed.rollouts),
            _ => None,
        });
        let groups: Vec<&SignedGroup> = clean.collect();
        in_parallel(&groups, |group| {
            group.packed();
        });
    }
}

/// Returns the secrets of a recorded machine; the seed of its sampling is not recorded.
fn secrets(read_credentials: &[u8]) -> MachineSecrets {
    MachineSecrets { seed: 0, read_credentials: read_credentials.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_committed_read_key_becomes_a_stand_in_in_event_and_action() {
        let secret = b"planted read key of a bucket".repeat(5);
        let stood = stand_in(&secret);
        let event = Event::CommitmentRead(Ok(Some(secret.clone())));
        assert_eq!(Miner::redacted(&event), Event::CommitmentRead(Ok(Some(stood.clone()))));
        assert_eq!(Miner::redacted_line(&Action::Commit(secret)), Action::Commit(stood).summary());
    }
}
