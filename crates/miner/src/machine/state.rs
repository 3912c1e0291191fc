//! A machine's whole state as data: for decisions, for tapes, and to compare two machines.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Mining;
use super::settings::MachineSettings;
use super::timers::Timers;
use super::timing::Timing;

/// The state of a [`Machine`](super::Machine): all of it except settings, secrets, and counts of rare branches.
///
/// Between two windows it is small.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    pub(super) timing: Timing,
    pub(super) timers: Timers,
    pub(super) mining: Mining,
}

impl Snapshot {
    /// Before the first event.
    pub(super) fn new(settings: &MachineSettings) -> Self {
        Self { timing: Timing::new(settings), timers: Timers::default(), mining: Mining::default() }
    }

    /// sha256 in hex of the serialized state: values in order, without the names of fields.
    pub(super) fn digest(&self) -> String {
        let bytes = rmp_serde::to_vec(self).expect("plain data, written to memory");
        hex::encode(Sha256::digest(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use grail_protocol::signature::Hotkey;
    use serde_json::Value;

    use crate::answers::{Head, Now};
    use crate::machine::{Event, Machine, MachineSecrets, MachineSettings};

    /// Adds the name of every field.
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                found.insert(name.clone());
                names(value, found);
            }),
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }

    #[test]
    fn no_name_of_a_field_enters_the_digest() {
        let secrets = MachineSecrets { seed: 0, read_credentials: Vec::new() };
        let mut machine = Machine::new(MachineSettings::new(Hotkey::from_bytes([0; 32])), secrets);
        let now = Now { monotonic_ms: 5, wall_ms: 5 };
        machine.handle(now, Event::Started(Vec::new()));
        let before = machine.digest();
        machine.handle(now, Event::HeadMoved(Head { number: 60 }));
        machine.handle(now, Event::BlockHashRead { block: 60, result: Ok(Some(format!("0x{}", "ab".repeat(32)))) });
        assert_ne!(machine.digest(), before);
        let state = machine.state();
        let mut found = BTreeSet::new();
        names(&serde_json::to_value(state).unwrap(), &mut found);
        // Timers are keys of a map, and so values.
        found.retain(|name| name.contains('_'));
        assert!(found.len() > 20 && found.contains("is_being_read"), "{found:?}");
        let digested = rmp_serde::to_vec(state).unwrap();
        for name in found {
            assert!(!digested.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
        }
    }
}
