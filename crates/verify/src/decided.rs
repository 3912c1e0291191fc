//! Whether a verdict that reads probabilities stands, however they lie within their bounds.

use grail_protocol::PROTOCOL;
use grail_protocol::generation::BoundedPass;

use crate::checks::distribution;

/// Returns whether the checks that read probabilities, `termination_valid` and `token_distribution_valid`, give one verdict
/// for all probabilities within these bounds. Where they do, nobody needs to know the probabilities better.
///
/// It says no more often than it must, and never yes where two verdicts are possible. Bounds that are not numbers are
/// undecided.
pub fn is_decided(pass: &BoundedPass) -> bool {
    let least = PROTOCOL.eos_probability_min;
    let ends_alike = pass.eos.is_none_or(|eos| eos.low >= least || eos.high < least);
    ends_alike && distribution::is_decided(&pass.completion)
}
