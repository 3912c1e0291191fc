//! Check `tokens_valid`: ids within the vocabulary, length within the context.

use grail_protocol::generation::ModelLimits;
use grail_protocol::python_json::Value;

use super::Stop;
use crate::verdict::{Check, Reason};

/// Returns the commit's tokens as ids.
pub(crate) fn check(commit: &Value, limits: &ModelLimits) -> Result<Vec<u32>, Stop> {
    let failed = Stop::Failed(Check::Tokens, Reason::None);
    let items = commit.get("tokens").and_then(Value::as_list).ok_or(failed)?;
    if items.is_empty() || items.len() > limits.context_tokens_max {
        return Err(failed);
    }
    items.iter().map(|item| id(item, limits.vocabulary).ok_or(failed)).collect()
}

fn id(item: &Value, vocabulary: u32) -> Option<u32> {
    let id = item.as_integral().filter(|_| item.is_int())?;
    u32::try_from(id).ok().filter(|id| *id < vocabulary)
}
