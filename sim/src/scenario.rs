//! Scenarios: named worlds with their promises, as TOML files in `sim/scenarios`.

use std::rc::Rc;

use grail_miner::machine::WindowOutcome;
use grail_miner::policy::UploadPolicy;
use serde::Deserialize;

use crate::config::SimConfig;
use crate::engine::EngineSpeed;
use crate::faults::Faults;
use crate::nearest::nearest;
use crate::report::SimReport;
use crate::synthetic::SyntheticModel;

/// A world and its promises.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Scenario {
    /// Summary in one line.
    pub title: String,
    /// Seed of all randomness.
    #[serde(default)]
    pub seed: u64,
    /// Number of windows to mine and judge.
    pub windows: u64,
    /// The faults: a list, or `["random"]`.
    pub faults: Vec<String>,
    /// Speed of generation in virtual time.
    #[serde(default = "default_speed")]
    pub speed: String,
    /// Most groups per window; without it, as many as fit.
    pub groups_max: Option<u32>,
    /// Which clean groups to upload.
    #[serde(default)]
    pub policy: Policy,
    /// Whether the beacon enters the randomness.
    #[serde(default = "default_drand")]
    pub use_drand: bool,
    /// Its promises.
    pub expect: Expect,
}

/// Which clean groups to upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The prefix with the best expected score.
    #[default]
    Score,
    /// All of them.
    All,
}

/// Promises of a scenario; counts are windows.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Expect {
    /// Exactly this many violations.
    pub violations: usize,
    /// At least this many uploads that the read key confirmed.
    pub uploads_min: usize,
    /// At least this many files that the validator accepted.
    pub accepted_min: usize,
    /// At least this many mined on the block hash alone, because no beacon answered.
    pub without_beacon_min: usize,
    /// At least this many whose first block was replaced.
    pub reorganised_min: usize,
    /// Each listed fault had an effect at least this often.
    pub strikes_min: usize,
}

/// Every scenario that comes with the simulator: name and file.
pub const EMBEDDED: [(&str, &str); 8] = [
    ("bad-week", include_str!("../scenarios/bad-week.toml")),
    ("beacon-outage", include_str!("../scenarios/beacon-outage.toml")),
    ("bucket-errors", include_str!("../scenarios/bucket-errors.toml")),
    ("chain-reorganisation", include_str!("../scenarios/chain-reorganisation.toml")),
    ("chain-silence", include_str!("../scenarios/chain-silence.toml")),
    ("clock-wrong", include_str!("../scenarios/clock-wrong.toml")),
    ("engine-slow", include_str!("../scenarios/engine-slow.toml")),
    ("process-crash", include_str!("../scenarios/process-crash.toml")),
];

const KEYS: [&str; 9] = ["title", "seed", "windows", "faults", "speed", "groups_max", "policy", "use_drand", "expect"];
const EXPECT_KEYS: [&str; 6] =
    ["violations", "uploads_min", "accepted_min", "without_beacon_min", "reorganised_min", "strikes_min"];

/// Why a scenario cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML, or a value of the wrong type.
    #[error("{0}")]
    Toml(String),
    /// An unknown key.
    #[error("unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// As written.
        key: String,
        /// The most similar key.
        nearest: &'static str,
    },
    /// No scenario has this name.
    #[error("there is no scenario `{name}`; did you mean `{nearest}`? `grail sim --list` shows all")]
    UnknownName {
        /// As written.
        name: String,
        /// The most similar name.
        nearest: &'static str,
    },
    /// A fault or speed that does not exist.
    #[error("{0}")]
    Value(String),
}

impl Scenario {
    /// Returns the embedded scenario of this name.
    ///
    /// # Errors
    /// [`ScenarioError::UnknownName`] with the nearest name.
    pub fn named(name: &str) -> Result<Self, ScenarioError> {
        match EMBEDDED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => {
                let nearest = nearest(name, EMBEDDED.iter().map(|(known, _)| *known));
                Err(ScenarioError::UnknownName { name: name.to_owned(), nearest })
            }
        }
    }

    /// Reads a scenario's file.
    ///
    /// # Errors
    /// [`ScenarioError`] for what is no TOML, unknown keys, and values that mean nothing.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let invalid = |error: toml::de::Error| ScenarioError::Toml(error.to_string().trim_end().to_owned());
        let table: toml::Table = toml::from_str(text).map_err(invalid)?;
        check_keys(&table, &KEYS)?;
        if let Some(toml::Value::Table(expect)) = table.get("expect") {
            check_keys(expect, &EXPECT_KEYS)?;
        }
        let scenario: Self = toml::from_str(text).map_err(invalid)?;
        scenario.config()?;
        Ok(scenario)
    }

    /// Returns the simulation that it describes.
    ///
    /// # Errors
    /// [`ScenarioError::Value`] for an unknown speed or fault.
    pub fn config(&self) -> Result<SimConfig, ScenarioError> {
        let names = || EngineSpeed::all().iter().map(|speed| speed.name).collect::<Vec<_>>().join(", ");
        let unknown = || ScenarioError::Value(format!("unknown speed {:?}; use one of {}", self.speed, names()));
        if self.windows == 0 {
            return Err(ScenarioError::Value("`windows` is 0; simulate at least 1".to_owned()));
        }
        let speed = EngineSpeed::named(&self.speed).ok_or_else(unknown)?;
        let faults = if self.faults.is_empty() { "none".to_owned() } else { self.faults.join(",") };
        Ok(SimConfig {
            groups_max: self.groups_max,
            faults: faults.parse::<Faults>().map_err(|error| ScenarioError::Value(error.to_string()))?,
            use_drand: self.use_drand,
            policy: match self.policy {
                Policy::Score => UploadPolicy::Score,
                Policy::All => UploadPolicy::All,
            },
            ..SimConfig::new(Rc::new(SyntheticModel::default()), speed, self.seed, self.windows)
        })
    }

    /// Returns every promise that was not kept.
    pub fn unmet(&self, report: &SimReport) -> Vec<String> {
        let Expect { uploads_min, accepted_min, without_beacon_min, reorganised_min, violations, strikes_min } =
            self.expect;
        let struck =
            |name: &String| report.effects.iter().find(|(kind, _)| kind.name() == name).map_or(0, |(_, n)| *n as usize);
        let strikes = self.faults.iter().map(struck).min().unwrap_or(0);
        let count =
            |holds: &dyn Fn(&crate::report::WindowResult) -> bool| report.windows.iter().filter(|w| holds(w)).count();
        let minima = [
            ("uploads", uploads_min, count(&|w| w.receipt.outcome == WindowOutcome::Uploaded)),
            ("accepted files", accepted_min, count(&|w| w.judgment.outcome() == "accepted")),
            ("windows without a beacon", without_beacon_min, count(&|w| !w.receipt.with_beacon)),
            ("reorganised windows", reorganised_min, count(&|w| w.receipt.reorganisations > 0)),
            ("strikes of each fault", strikes_min, strikes),
        ];
        let mut unmet: Vec<String> = minima
            .into_iter()
            .filter(|(_, least, found)| found < least)
            .map(|(what, least, found)| format!("{found} {what}, and at least {least} were expected"))
            .collect();
        if report.violations.len() != violations {
            unmet.push(format!("{} violations, and {} were expected", report.violations.len(), violations));
        }
        unmet
    }
}

fn check_keys(table: &toml::Table, known: &[&'static str]) -> Result<(), ScenarioError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let nearest = nearest(key, known.iter().copied());
            Err(ScenarioError::UnknownKey { key: key.clone(), nearest })
        }
    }
}

fn default_speed() -> String {
    EngineSpeed::all()[0].name.to_owned()
}

const fn default_drand() -> bool {
    true
}
