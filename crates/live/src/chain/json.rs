//! The JSON that nodes answer with. Nothing here trusts its shape.

use grail_protocol::budget::Budget;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::failure::Failure;

/// Most memory that the values of one answer take: one of 16 MiB could become a hundred times as much.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// An answer whose values fit.
#[derive(Debug)]
pub(super) struct Answer(pub(super) Value);

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Budget::new(VALUE_BYTES_MAX).decode(deserializer).map(Self)
    }
}

/// Returns a hash, or none for `null`.
pub(super) fn hash_of(answer: &Value) -> Result<Option<[u8; 32]>, Failure> {
    let Some(bytes) = bytes_of(answer)? else { return Ok(None) };
    let length = bytes.len();
    bytes.try_into().map(Some).map_err(|_| Failure::malformed(format!("a hash of {length} bytes")))
}

/// Returns bytes as `0x` and hex digits, or none for `null`.
pub(super) fn bytes_of(answer: &Value) -> Result<Option<Vec<u8>>, Failure> {
    match answer {
        Value::Null => Ok(None),
        Value::String(text) => {
            let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
            bytes.map(Some).ok_or_else(|| Failure::malformed("hex digits were expected"))
        }
        other => Err(unexpected("hex digits", other)),
    }
}

/// Returns a list of bytes.
pub(super) fn list_of_bytes(answer: &Value) -> Result<Vec<Vec<u8>>, Failure> {
    let list = answer.as_array().ok_or_else(|| unexpected("a list", answer))?;
    Ok(list.iter().map(bytes_of).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Returns the number of a block, from its header. Nodes count blocks in 32 bits.
pub(super) fn number_of(header: &Value) -> Result<u64, Failure> {
    let text = header.get("number").and_then(Value::as_str).ok_or_else(|| unexpected("a header", header))?;
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.map(u64::from).ok_or_else(|| Failure::malformed("a header without a block number of 32 bits"))
}

/// Returns a runtime's spec version and transaction version.
pub(super) fn versions_of(version: &Value) -> Result<(u32, u32), Failure> {
    let field = |name: &str| {
        let number = version.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| unexpected(name, version))
    };
    Ok((field("specVersion")?, field("transactionVersion")?))
}

/// Returns a count of extrinsics.
pub(super) fn nonce_of(answer: &Value) -> Result<u64, Failure> {
    answer.as_u64().ok_or_else(|| unexpected("a nonce", answer))
}

/// Returns the extrinsics of a signed block, in hex as the node writes them.
pub(super) fn extrinsics_of(signed_block: &Value) -> Result<Vec<&str>, Failure> {
    let list = signed_block.pointer("/block/extrinsics").and_then(Value::as_array);
    let texts = list.and_then(|list| list.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| unexpected("a block", signed_block))
}

/// Describes the unexpected value without quoting it.
pub(super) fn unexpected(wanted: &str, found: &Value) -> Failure {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object of another shape",
    };
    Failure::malformed(format!("{wanted} was expected, and {kind} came"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_becomes_large_is_refused() {
        let list = |item: &str, count: usize| format!("[{}{item}]", format!("{item},").repeat(count));
        let read = |text: &str| serde_json::from_str::<Answer>(text);
        for item in ["[]", "0", "{}", r#"{"":0}"#] {
            let Answer(value) = read(&list(item, 10_000)).unwrap();
            assert_eq!(value.as_array().map(Vec::len), Some(10_001));
            let error = read(&list(item, 2_500_000)).unwrap_err().to_string();
            assert!(error.contains("more than 64 MiB"), "{item}: {error}");
        }
        // Metadata in hex is one long text.
        assert!(read(&format!("\"0x{}\"", "00".repeat(8 << 20))).is_ok());
    }
}
