//! The engine: rollouts for one group at a time, several groups in flight.

use async_trait::async_trait;
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};

use crate::answers::{EngineError, GroupRequest};

/// Rollouts by a model.
///
/// # Contract
/// `generate` gives one rollout per stream, in order; each begins with the prompt, and the same request gives the same
/// rollouts whatever else is in flight. Dropping the future ends the work. Up to `groups_in_flight_max` calls may be
/// pending; they are served first come, first served.
#[async_trait(?Send)]
pub trait Engine {
    /// Generate and prove.
    async fn generate(&self, request: &GroupRequest) -> Result<Vec<GeneratedRollout>, EngineError>;
    /// How many groups are worked on at a time.
    fn groups_in_flight_max(&self) -> usize;
    /// The model's limits.
    fn limits(&self) -> ModelLimits;
    /// The model's tokenizer.
    fn tokenizer(&self) -> &dyn Tokenizer;
}
