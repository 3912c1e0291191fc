//! The miner's GPU: stated speeds, or those of a known GPU.

use grail_protocol::PROTOCOL;
use grail_sim::nearest::nearest;
use grail_sim::speeds::EngineSpeed;

/// Speeds and habits of a miner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gpu {
    /// Tokens per second over all sequences.
    pub tokens_per_s: f64,
    /// Milliseconds of proof per token; a group's prompt counts once.
    pub proof_ms: f64,
    /// Tokens of a prompt, on average.
    pub prompt_tokens: f64,
    /// Tokens of a completion, on average.
    pub completion_tokens: f64,
    /// Share of the rollouts that solve their problem.
    pub solved: f64,
    /// Share of the rollouts that the miner's own check refuses, and that are drawn again.
    pub refused: f64,
    /// Groups that are drawn together before they are proved.
    pub batch_groups: usize,
}

/// Why a GPU cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// No GPU has this name.
    #[error(
        "unknown GPU {0:?}; did you mean `{nearest}`? Use one of a100, h100, h200, or state tokens_per_s and proof_ms",
        nearest = nearest(.0, EngineSpeed::gpus().iter().map(|speed| speed.name))
    )]
    Preset(String),
    /// An unknown key.
    #[error("unknown key `{key}`; did you mean `{nearest}`?")]
    Key {
        /// As written.
        key: String,
        /// The most similar key.
        nearest: &'static str,
    },
    /// A value out of its range.
    #[error("{key}={value:?} is out of range; give a number from {least} to {most}")]
    Value {
        /// Its key.
        key: &'static str,
        /// As written.
        value: String,
        /// The smallest that makes sense.
        least: String,
        /// The largest.
        most: String,
    },
    /// Neither a GPU nor its speeds.
    #[error("no GPU is named; give gpu=a100|h100|h200, or both tokens_per_s and proof_ms")]
    Speeds,
}

/// Each key with the range of its values.
const KEYS: [(&str, f64, f64); 6] = [
    ("tokens_per_s", 1.0, 1e7),
    ("proof_ms", 1e-4, 1e4),
    ("prompt_tokens", 1.0, 4096.0),
    ("completion_tokens", 1.0, 1024.0),
    ("solved", 0.0, 1.0),
    ("refused", 0.0, 0.9),
];

impl Gpu {
    /// Creates a GPU of these speeds, with the prompts and completions that the measured GPU was measured with.
    pub const fn of(tokens_per_s: f64, proof_ms: f64) -> Self {
        Self {
            tokens_per_s,
            proof_ms,
            prompt_tokens: 330.0,
            completion_tokens: 400.0,
            solved: 0.6,
            refused: 0.01,
            batch_groups: 64,
        }
    }

    /// Returns the GPU that an engine of this speed runs on.
    pub fn of_engine(speed: &EngineSpeed) -> Self {
        let plain = Self::of(speed.tokens_per_s as f64, speed.proof_us_per_token as f64 / 1_000.0);
        Self { batch_groups: speed.batch_groups, ..plain }
    }

    /// Reads `gpu=a100,tokens_per_s=7000,…`; stated values win over the GPU's own.
    ///
    /// # Errors
    /// [`GpuError`] for unknown names and keys, values out of range, and missing speeds.
    pub fn parse(text: &str) -> Result<Self, GpuError> {
        let mut preset = None;
        let mut stated = [None; KEYS.len()];
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or(("gpu", part));
            if key == "gpu" {
                let known = EngineSpeed::gpus().into_iter().find(|speed| speed.name == value);
                preset = Some(Self::of_engine(&known.ok_or_else(|| GpuError::Preset(value.to_owned()))?));
                continue;
            }
            let Some(at) = KEYS.iter().position(|(known, _, _)| *known == key) else {
                let names = KEYS.iter().map(|(known, _, _)| *known).chain(["gpu"]);
                let nearest = nearest(key, names);
                return Err(GpuError::Key { key: key.to_owned(), nearest });
            };
            let (key, least, most) = KEYS[at];
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            let wrong =
                || GpuError::Value { key, value: value.to_owned(), least: least.to_string(), most: most.to_string() };
            stated[at] = Some(number.ok_or_else(wrong)?);
        }
        let speed = |at: usize, known: Option<f64>| stated[at].or(known).ok_or(GpuError::Speeds);
        let tokens_per_s = speed(0, preset.map(|preset| preset.tokens_per_s))?;
        let plain = Self::of(tokens_per_s, speed(1, preset.map(|preset| preset.proof_ms))?);
        Ok(Self {
            prompt_tokens: stated[2].unwrap_or(plain.prompt_tokens),
            completion_tokens: stated[3].unwrap_or(plain.completion_tokens),
            solved: stated[4].unwrap_or(plain.solved),
            refused: stated[5].unwrap_or(plain.refused),
            batch_groups: preset.map_or(plain.batch_groups, |preset| preset.batch_groups),
            ..plain
        })
    }

    /// Returns the GPU at `percent` percent of its speed.
    pub fn at_speed(self, percent: u64) -> Self {
        let factor = percent as f64 / 100.0;
        Self { tokens_per_s: self.tokens_per_s * factor, proof_ms: self.proof_ms / factor, ..self }
    }

    /// Returns milliseconds that the GPU is busy with one group; drawing and proving take turns.
    pub fn group_ms(&self) -> f64 {
        let wanted = PROTOCOL.rollouts_per_group as f64;
        let rollouts = wanted / (1.0 - self.refused);
        // A refused rollout is proved a second time, with its prompt.
        let proved = self.prompt_tokens * (1.0 + rollouts - wanted) + rollouts * self.completion_tokens;
        rollouts * self.completion_tokens * 1000.0 / self.tokens_per_s + proved * self.proof_ms
    }
}
