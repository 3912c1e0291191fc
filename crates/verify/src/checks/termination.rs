//! Check `termination_valid`: the completion has full length or ends with a probable EOS.

use grail_protocol::PROTOCOL;
use grail_protocol::generation::{ModelLimits, ProofPass};
use grail_protocol::python_json::Value;

use super::{Claims, Stop};
use crate::verdict::{Check, Reason};

/// Checks how the rollout ended.
pub(crate) fn check(commit: &Value, tokens: &[u32], pass: &ProofPass, limits: &ModelLimits) -> Result<(), Stop> {
    let failed = |reason| Err(Stop::Failed(Check::Termination, reason));
    let claimed = Claims::of(commit).get("completion_length").ok().flatten();
    let Some(claimed) = claimed.filter(|claimed| claimed.is_int()) else {
        return failed(Reason::CompletionLengthNotInt);
    };
    let length_max = PROTOCOL.new_tokens_max as i128;
    match claimed.as_integral() {
        Some(length) if length == length_max => return Ok(()),
        Some(length) if length <= length_max => {}
        _ => return failed(Reason::OverMaxNewTokens),
    }
    let ends_with_eos = tokens.last() == Some(&limits.eos_token);
    if ends_with_eos && pass.eos_probability >= PROTOCOL.eos_probability_min {
        return Ok(());
    }
    failed(Reason::NeitherMaxLenNorEos)
}
