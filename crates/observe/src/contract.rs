//! The contract with programs: each JSON object names the schema that it keeps to.
//!
//! A schema is in `docs/schemas` under its name. A field may be added within a version; one that goes, or changes its
//! meaning, makes a new one.

use serde_json::Value;

/// A shape of JSON that a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case", suffix = ".v1")]
#[allow(missing_docs, reason = "each is what the command of this name prints")]
pub enum Schema {
    Bench,
    ConfigShow,
    Diff,
    Doctor,
    /// The failure of any command with `--json`.
    Error,
    Estimate,
    /// Faults with their meanings.
    FaultList,
    /// Result of `grail network`.
    Network,
    /// A window's receipt, as `grail mine --json` prints it and `receipts.jsonl` keeps it.
    Receipt,
    Replay,
    ReplayFork,
    /// Output of `grail sim --list`.
    ScenarioList,
    /// A window that the validator of `grail sim serve` judged.
    ServeWindow,
    Sim,
    /// Output of `grail sim --case` with a validator's case.
    SimValidator,
    /// Output of `grail top --json`, and answer of the control socket.
    Status,
    Swarm,
    TapeList,
    TapeStep,
    /// Output of `grail mine --try --json`.
    Trial,
    /// Findings of `grail validate`: a miner's window, a window, or the outcome of setting weights.
    ValidatorReceipt,
    Verify,
    Why,
}

impl Schema {
    /// All of them, by name.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns name and version: `docs/schemas/NAME.json` has the schema.
    pub fn id(self) -> &'static str {
        self.into()
    }

    /// Returns the object with its schema's name in it.
    pub fn stamp(self, mut object: Value) -> Value {
        object["schema"] = self.id().into();
        object
    }
}
