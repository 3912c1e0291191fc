//! Check `prompt_valid`: the tokens start with the canonical prompt, and the claimed lengths add up.

use grail_protocol::python_json::Value;

use super::{Claims, Stop};
use crate::verdict::{Check, Reason};

/// Returns how many of the tokens are the completion.
pub(crate) fn check(commit: &Value, tokens: &[u32], canonical_prompt: &[u32]) -> Result<usize, Stop> {
    let failed = |reason| Stop::Failed(Check::Prompt, reason);
    let claims = Claims::of(commit);
    let throws = |_| failed(Reason::Mismatch);
    let prompt_length = claims.length("prompt_length").map_err(throws)?;
    let completion_length = claims.length("completion_length").map_err(throws)?;
    if prompt_length != canonical_prompt.len() as i128 {
        return Err(failed(Reason::PromptLenMismatch));
    }
    if prompt_length.saturating_add(completion_length) != tokens.len() as i128 {
        return Err(failed(Reason::TokenCountMismatch));
    }
    if !tokens.starts_with(canonical_prompt) {
        return Err(failed(Reason::PrefixMismatch));
    }
    Ok(tokens.len() - canonical_prompt.len())
}
