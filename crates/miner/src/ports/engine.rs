//! The engine: rollouts for one group at a time, several groups in flight.

use async_trait::async_trait;
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};

use crate::answers::{EngineError, GenerateRequest};

/// Rollouts by a model.
///
/// # Contract
/// - `generate` returns one rollout per stream, in order. Each rollout starts with the prompt.
/// - A deterministic engine returns the same rollouts for the same request, whatever else is in flight. A CPU engine is
///   always deterministic. A GPU engine is deterministic only with the setting `deterministic`: without it the shape of a
///   batch follows from what else is in flight, other shapes sum in another order, and the sampled tokens can differ. The
///   sketches of a rollout fit its own tokens either way.
/// - Dropping the future ends the work, also while a batch runs: waiting work is never started, and drawn rollouts are
///   not proved. A step that the engine cannot interrupt is finished, and its result discarded.
/// - Up to `groups_in_flight_max` calls may be pending. The engine serves the one of the earliest window and, in that, of
///   the lowest group index first, in drawing as in proving, whenever it came. That is all of a call's priority: a retry has
///   a lower index than fresh work, so it goes before everything that is fresh without being asked for again.
///
/// `grail_contract::engine` checks every engine, `grail_contract::deterministic_engine` the deterministic ones.
#[async_trait(?Send)]
pub trait Engine {
    /// Generates and prove.
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError>;
    /// Returns how many groups are worked on at a time.
    fn groups_in_flight_max(&self) -> usize;
    /// Returns the model's limits.
    fn limits(&self) -> ModelLimits;
    /// Returns the model's tokenizer.
    fn tokenizer(&self) -> &dyn Tokenizer;
}
