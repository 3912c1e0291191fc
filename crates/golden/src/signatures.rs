//! Vectors of what a hotkey signs, and of signatures that wallets made.

use grail_protocol::hexadecimal::randomness_bytes;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::hash_u32s;
use grail_protocol::signature::{self, Hotkey, signed_text_bytes};

use super::GoldenError;
use super::case::{VectorFile, outcome};
use super::report::FileReport;

pub(super) fn commit_binding(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let tokens_hash = hash_u32s(&case.ints("tokens")?);
        let s_vals_hash = hash_u32s(&case.ints("s_vals")?);
        case.compare("tokens_hash", hex::encode(tokens_hash))?;
        case.compare("s_vals_hash", hex::encode(s_vals_hash))?;
        let (model, layer) = (case.text("model_name")?, case.int("layer_index")?);
        let binding = randomness_bytes(case.text("randomness")?).map(|randomness| {
            hex::encode(signature::commit_binding(&tokens_hash, &randomness, model, layer, &s_vals_hash))
        });
        case.compare("binding", outcome(binding))
    })
}

/// One file is one case: an address with its key, and a signature of each way in which wallets sign.
pub(super) fn signature_vectors(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.single_case(|case| {
        let address = case.text("hotkey_ss58")?;
        case.compare("public", outcome(Hotkey::from_ss58(address).map(|key| hex::encode(key.bytes()))))?;
        let public = case.bytes("public")?;
        let public = public.try_into().map_err(|_| case.unreadable("public", "is no 32-byte key"))?;
        let hotkey = Hotkey::from_bytes(public);
        case.compare("hotkey_ss58", hotkey.to_ss58())?;

        let message = case.bytes("msg_hex")?;
        let text = signed_text_bytes(case.text("msg_str")?);
        let hex_text = signed_text_bytes(case.text("hexstr")?);
        let signed = [
            ("sig_hex", Ok(message)),
            ("sig_str_hex", text.clone()),
            ("sig_hexstr", hex_text),
            ("wrapped_sig_of_hello", text),
        ];
        for (field, message) in signed {
            let signature = case.bytes(field)?;
            let verdict = outcome(message.map(|message| hotkey.verifies(&message, &signature)));
            case.compare_values(field, &Value::Bool(true), &verdict);
        }
        Ok(())
    })
}
