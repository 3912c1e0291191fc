//! Check `rollout`: fields, window, nonce, challenge signature, seed and reward.

use std::collections::BTreeSet;

use grail_protocol::answer::REWARD_BOUNDS;
use grail_protocol::hexadecimal::bytes_fromhex;
use grail_protocol::python_json::Value;
use grail_protocol::rollout::sat_seed;
use grail_protocol::signature::{SignatureClaim, signed_text_bytes};

use super::{Claims, Stop};
use crate::facts::WindowFacts;
use crate::memory::Memory;
use crate::verdict::{Check, Reason};

const FIELDS: [&str; 10] = [
    "window_start",
    "nonce",
    "sat_seed",
    "block_hash",
    "commit",
    "proof",
    "challenge",
    "hotkey",
    "signature",
    "rollout_group",
];
const REWARD_TOLERANCE: f64 = 0.02;

/// The nonces seen so far in a file; equal as Python's set has it.
#[derive(Default)]
pub(crate) struct Nonces {
    texts: BTreeSet<String>,
    integers: BTreeSet<i128>,
}

impl Nonces {
    /// Remembers a nonce; false if it was seen before, an error where Python cannot hash it.
    fn insert(&mut self, nonce: &Value) -> Result<bool, Stop> {
        if matches!(nonce, Value::List(_) | Value::Object(_)) {
            return Err(Stop::Skipped("the nonce is a list or an object"));
        }
        let fresh = match (nonce.as_integral(), nonce) {
            (Some(integer), _) => self.integers.insert(integer),
            // NaN equals nothing, so it is fresh every time.
            (None, Value::Float(f)) if f.is_nan() => true,
            (None, other) => self.texts.insert(other.canonical_text()),
        };
        Ok(fresh)
    }
}

/// Returns everything up to the reward's bounds; a reward that is not a number skips the rollout before it joins its
/// group.
pub(crate) fn check(
    inference: &Value,
    facts: &WindowFacts,
    nonces: &mut Nonces,
    memory: &Memory,
    holds: &dyn Fn(SignatureClaim) -> bool,
) -> Result<(), Stop> {
    let failed = |reason| Err(Stop::Failed(Check::Rollout, reason));
    let Value::Object(fields) = inference else { return Err(Stop::Skipped("the rollout is not an object")) };
    if FIELDS.iter().any(|field| !fields.contains_key(*field)) {
        return failed(Reason::MissingFields);
    }
    if fields["window_start"] != Value::from(facts.window_start) {
        return failed(Reason::WindowMismatch);
    }
    if fields["block_hash"].as_text() != Some(&facts.block_hash) {
        return failed(Reason::BlockHashMismatch);
    }
    let nonce = &fields["nonce"];
    if !nonces.insert(nonce)? {
        return failed(Reason::DuplicateNonce);
    }
    if !claim(inference, memory).is_some_and(holds) {
        return failed(Reason::SignatureInvalid);
    }
    let seed = sat_seed(&facts.hotkey, &facts.block_hash, nonce.python_str());
    if fields["sat_seed"].as_text() != Some(&seed) {
        return failed(Reason::SatSeedInvalid);
    }
    check_reward(&fields["commit"])
}

/// Returns the challenge's signature, if it is one.
pub(crate) fn claim(inference: &Value, memory: &Memory) -> Option<SignatureClaim> {
    let text = |field| inference.get(field).and_then(Value::as_text).filter(|text| !text.is_empty());
    Some(SignatureClaim {
        hotkey: memory.hotkey(text("hotkey")?)?,
        message: signed_text_bytes(text("challenge")?).ok()?,
        signature: bytes_fromhex(text("signature")?).ok()?,
    })
}

fn check_reward(commit: &Value) -> Result<(), Stop> {
    // Claims that are no object throw inside a block that swallows the error, so the bounds go unchecked.
    let Value::Object(_) = commit else { return Ok(()) };
    let Ok(reward) = Claims::of(commit).get("total_reward") else { return Ok(()) };
    let reward = match reward {
        Some(number @ (Value::Float(_) | Value::Int(_) | Value::Bool(_) | Value::BigInt(_))) => number.as_number(),
        _ => return Err(Stop::Skipped("the total reward is not a number")),
    };
    let (low, high) = REWARD_BOUNDS;
    let low = low - (low.abs() * REWARD_TOLERANCE).max(1e-6);
    let high = high + (high.abs() * REWARD_TOLERANCE).max(1e-6);
    match reward {
        Some(reward) if !(low..=high).contains(&reward) => Err(Stop::Failed(Check::Rollout, Reason::RewardOutOfBounds)),
        // An integer too large for a float throws inside the same block.
        _ => Ok(()),
    }
}
