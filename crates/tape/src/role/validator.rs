//! A validator's core on a tape.

use grail_miner::actions::Actions;
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_protocol::read_credentials::ReadCredentials;
use grail_validator::answers::Neuron;
use grail_validator::{Action, Event, Settings, State, Validator as Core};
use serde::Deserialize;
use serde_json::Value;

use super::{Role, Validator};
use crate::redaction::{stand_in, text_stand_in};

impl Role for Validator {
    const MAGIC: [u8; 8] = *b"GRAILTAV";
    const ROLE: &'static str = "validator";
    const NAME: &'static str = "a validator";

    type Settings = Settings;
    type Event = Event;
    type Action = Action;
    type Machine = Core;
    type Snapshot = State;

    fn machine(settings: &Settings, _: &[u8]) -> Core {
        Core::new(settings.clone())
    }

    fn restored(settings: &Settings, _: &[u8], state: &Value) -> Option<Core> {
        Some(Core::restore(settings.clone(), State::deserialize(state).ok()?))
    }

    fn handle(machine: &mut Core, now: Now, event: Event) -> Actions<Action> {
        machine.handle(now, event)
    }

    fn snapshot(machine: &Core) -> State {
        machine.state().clone()
    }

    fn window(machine: &Core) -> Option<u64> {
        machine.window()
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
        let Event::MetagraphRead(Ok(neurons)) = event else { return event.clone() };
        let without_key =
            |neuron: &Neuron| Neuron { committed: neuron.committed.as_deref().map(key_stand_in), ..neuron.clone() };
        Event::MetagraphRead(Ok(neurons.iter().map(without_key).collect()))
    }

    fn redacted_line(action: &Action) -> String {
        let mut action = action.clone();
        if let Action::Look { committed, .. } | Action::Fetch { committed, .. } = &mut action {
            *committed = key_stand_in(committed);
        }
        action.summary()
    }

    /// A window starts by asking for the hashes of its first block and of the block after it.
    fn opened(actions: &[String]) -> Option<u64> {
        let asks = |block: u64| actions.iter().any(|action| *action == format!("ReadBlockHash {block}"));
        let mut blocks = actions.iter().filter_map(|action| action.strip_prefix("ReadBlockHash ")?.parse().ok());
        blocks.find(|block: &u64| {
            let next = block.checked_add(PROTOCOL.window_blocks);
            block.is_multiple_of(PROTOCOL.window_blocks) && next.is_some_and(asks)
        })
    }

    fn outcome(action: &str) -> Option<(u64, String)> {
        let report: Value = serde_json::from_str(action.strip_prefix("Report ")?).ok()?;
        let window = report.get("Window")?;
        let start = window["window_start"].as_u64()?;
        if let Some(why) = window["missed"].as_str() {
            return Some((start, format!("missed: {why}")));
        }
        let receipts = window["receipts"].as_array()?;
        let count = |outcome: &str| receipts.iter().filter(|receipt| receipt["outcome"] == *outcome).count();
        let (accepted, rejected) = (count("accepted"), count("rejected"));
        let selected = &window["selected"];
        Some((start, format!("{selected} selected, {accepted} accepted, {rejected} rejected")))
    }

    fn prepare(_: &[&Event]) {}
}

/// Returns a replacement of a miner's commitment that the core takes for a read key if it takes the original for one.
fn key_stand_in(committed: &[u8]) -> Vec<u8> {
    if ReadCredentials::parse(committed).is_some() {
        return text_stand_in(committed);
    }
    let mut stood = stand_in(committed);
    if let Some(first) = stood.first_mut() {
        // Never the start of a text.
        *first = 0xff;
    }
    stood
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_a_read_key_if_the_commitment_is_one() {
        let key = format!("{:<32}{:<32}{:<64}", "planted-account", "planted-id", "planted-secret").into_bytes();
        let stood = key_stand_in(&key);
        assert!(ReadCredentials::parse(&stood).is_some());
        assert!(!String::from_utf8(stood.clone()).unwrap().contains("planted"));
        assert_eq!((stood.len(), &stood), (key.len(), &key_stand_in(&key)));
        for committed in [&b"no key"[..], &[0xff; 128], &[]] {
            let stood = key_stand_in(committed);
            assert_eq!(ReadCredentials::parse(&stood), None, "{committed:?}");
            assert_eq!(stood.len(), committed.len());
        }
    }

    #[test]
    fn event_and_line_lose_the_key() {
        let committed = format!("{:<32}{:<32}{:<64}", "planted-account", "planted-id", "planted-secret").into_bytes();
        let neuron = Neuron { uid: 1, hotkey: "a".to_owned(), committed: Some(committed.clone()) };
        let event = Validator::redacted(&Event::MetagraphRead(Ok(vec![neuron])));
        let Event::MetagraphRead(Ok(neurons)) = event else { panic!("{event:?}") };
        let stood = neurons[0].committed.clone().unwrap();
        assert_ne!(stood, committed);
        let look = |committed: Vec<u8>| Action::Look {
            window_start: 30,
            hotkey: "a".to_owned(),
            committed,
            key: "k".to_owned(),
        };
        assert_eq!(Validator::redacted_line(&look(committed)), look(stood).summary());
    }

    #[test]
    fn a_window_starts_with_two_hashes() {
        let lines = |blocks: &[u64]| blocks.iter().map(|block| format!("ReadBlockHash {block}")).collect::<Vec<_>>();
        assert_eq!(Validator::opened(&lines(&[60, 90])), Some(60));
        assert_eq!(Validator::opened(&lines(&[90])), None);
        assert_eq!(Validator::opened(&lines(&[61, 91])), None);
        assert_eq!(Validator::opened(&lines(&[u64::MAX])), None);
    }
}
