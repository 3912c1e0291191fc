//! Check `proof_valid`: commit signature, model binding, and the sketches at the positions that the validator opens.

use grail_protocol::PROTOCOL;
use grail_protocol::generation::ProofPass;
use grail_protocol::hexadecimal::{bytes_fromhex, cleaned_bytes, randomness_bytes};
use grail_protocol::python_json::Value;
use grail_protocol::randomness::{hash_u32s, open};
use grail_protocol::signature::{Hotkey, SignatureClaim, commit_binding};
use grail_protocol::sketch::agrees;

use super::Stop;
use crate::facts::{Recompute, WindowFacts};
use crate::verdict::{Check, Reason};

/// The forward pass over the rollout, once its proof holds.
pub(crate) fn check(
    commit: &Value,
    proof: &Value,
    tokens: &[u32],
    facts: &WindowFacts,
    recompute: &dyn Recompute,
    hotkey: Option<Hotkey>,
    holds: &dyn Fn(SignatureClaim) -> bool,
) -> Result<ProofPass, Stop> {
    let s_vals = sketch_values(commit, tokens.len())?;
    let binding = Binding::of(commit, tokens, s_vals)?;
    if !hotkey.is_some_and(|hotkey| holds(binding.claim(hotkey))) {
        return Err(failed(Reason::CommitSignatureInvalid));
    }
    let randomness = binding.check()?;
    if randomness_bytes(randomness).is_err() {
        return Err(Stop::Skipped("the beacon's randomness is empty"));
    }
    let positions = PROTOCOL.challenge_positions.max(listed_positions(proof)?);
    let opened =
        open(tokens, &facts.challenge_randomness, positions).map_err(|_| failed(Reason::IndexDerivationFailed))?;
    let pass = recompute.recompute(tokens, randomness).map_err(|_| failed(Reason::InferenceError))?;
    for position in opened {
        let committed = s_vals.get(position).ok_or(failed(Reason::SValsIndexOutOfBounds))?;
        let local = *pass.s_vals.get(position).ok_or(failed(Reason::InferenceError))?;
        // An integer beyond 128 bits is larger than any modulus, so the reference's distance is negative.
        if committed.as_integral().is_some_and(|committed| !agrees(local, committed)) {
            return Err(failed(Reason::SketchMismatch));
        }
    }
    Ok(pass)
}

fn sketch_values(commit: &Value, tokens: usize) -> Result<&[Value], Stop> {
    let s_vals = commit.get("s_vals").ok_or(failed(Reason::MissingFields))?;
    let s_vals = s_vals.as_list().filter(|list| !list.is_empty()).ok_or(failed(Reason::InvalidSVals))?;
    if s_vals.len() != tokens {
        return Err(failed(Reason::LengthMismatch));
    }
    if tokens < PROTOCOL.challenge_positions {
        return Err(failed(Reason::TooShort));
    }
    Ok(s_vals)
}

/// Returns the commit's signature, if it gets as far as being verified.
pub(crate) fn claim(commit: &Value, tokens: &[u32], hotkey: Hotkey) -> Option<SignatureClaim> {
    let s_vals = sketch_values(commit, tokens.len()).ok()?;
    Some(Binding::of(commit, tokens, s_vals).ok()?.claim(hotkey))
}

/// Content that the signature binds together.
struct Binding<'a> {
    message: [u8; 32],
    signature: Vec<u8>,
    randomness: &'a Value,
    model: Option<&'a Value>,
    layer: i32,
}

impl<'a> Binding<'a> {
    fn of(commit: &'a Value, tokens: &[u32], s_vals: &[Value]) -> Result<Self, Stop> {
        let invalid = failed(Reason::CommitSignatureInvalid);
        let beacon = commit.get("beacon").or_else(|| commit.get("round_R"));
        let randomness = beacon.and_then(|beacon| beacon.get("randomness")).ok_or(invalid)?;
        let Some(Value::Object(model)) = commit.get("model") else { return Err(invalid) };
        let too_large = Stop::Skipped("the layer index is no 32-bit integer");
        let layer = match model.get("layer_index").ok_or(invalid)? {
            Value::BigInt(_) => return Err(too_large),
            layer => i32::try_from(layer.python_int().ok_or(invalid)?).map_err(|_| too_large)?,
        };
        let signature = commit.get("signature").and_then(Value::as_text).ok_or(invalid)?;
        let signature = bytes_fromhex(signature).map_err(|_| invalid)?;

        let bytes = randomness.as_text().and_then(|text| cleaned_bytes(text).ok());
        let bytes = bytes.ok_or(Stop::Skipped("the beacon's randomness is not hexadecimal text"))?;
        let name = match model.get("name") {
            Some(Value::Text(name)) => name.as_str(),
            Some(other) if other.is_truthy() => return Err(Stop::Skipped("the model's name is no text")),
            _ => "",
        };
        let low_bits: Option<Vec<u32>> = s_vals.iter().map(Value::low_32_bits).collect();
        let s_vals_hash = hash_u32s(&low_bits.ok_or(Stop::Skipped("a sketch value is not an integer"))?);
        let message = commit_binding(&hash_u32s(tokens), &bytes, name, layer, &s_vals_hash);
        Ok(Self { message, signature, randomness, model: model.get("name"), layer })
    }

    fn claim(&self, hotkey: Hotkey) -> SignatureClaim {
        SignatureClaim { hotkey, message: self.message.to_vec(), signature: self.signature.clone() }
    }

    /// Model and layer; gives the randomness that the sketch was projected with.
    fn check(&self) -> Result<&'a str, Stop> {
        if self.model.and_then(Value::as_text) != Some(PROTOCOL.model_name) {
            return Err(failed(Reason::ModelMismatch));
        }
        if self.layer != PROTOCOL.layer_index {
            return Err(failed(Reason::LayerMismatch));
        }
        self.randomness.as_text().ok_or(Stop::Skipped("the beacon's randomness is not hexadecimal text"))
    }
}

/// `len(proof.get("indices", []))`, or 0 if that has no length.
fn listed_positions(proof: &Value) -> Result<usize, Stop> {
    let Value::Object(fields) = proof else { return Err(Stop::Skipped("the proof is not an object")) };
    Ok(match fields.get("indices") {
        Some(Value::List(items)) => items.len(),
        Some(Value::Text(text)) => text.chars().count(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    })
}

const fn failed(reason: Reason) -> Stop {
    Stop::Failed(Check::Proof, reason)
}
