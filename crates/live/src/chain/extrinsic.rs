//! The extrinsics that are sent, signed by the hotkey: a miner's read credentials, and a validator's weights.

use grail_miner::ports::Signer;
use subxt::SubstrateConfig;
use subxt::config::substrate::{AccountId32, H256, MultiSignature, SubstrateExtrinsicParamsBuilder};
use subxt::ext::scale_value::{Composite, Value};
use subxt::tx::DynamicPayload;

use super::failure::Failure;
use super::runtime::Runtime;

/// Blocks for which the extrinsic is valid, from its anchor on. 8 or fewer may run out before it is included.
const MORTALITY_BLOCKS: u64 = 32;
/// The version of weights: subnets take any that is not below theirs, which is 0 unless an owner sets it.
const VERSION_KEY: u128 = 0;
/// The chain's limit for a field that carries its length in its name.
pub(super) const CREDENTIALS_BYTES_MAX: usize = 128;

/// The block from which on an extrinsic is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) number: u64,
    pub(super) hash: [u8; 32],
}

/// A call before it is encoded.
pub(super) type Call = DynamicPayload<Composite<()>>;

/// Returns the encoded extrinsic of a call.
pub(super) fn signed(
    runtime: &Runtime,
    anchor: Anchor,
    nonce: u64,
    call: &Call,
    signer: &dyn Signer,
) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::malformed(format!("its runtime does not take our {}: {error}", call.call_name()))
    };
    let params = SubstrateExtrinsicParamsBuilder::<SubstrateConfig>::new()
        .nonce(nonce)
        .mortal_from_unchecked(MORTALITY_BLOCKS, anchor.number, H256(anchor.hash))
        .build();
    let block = runtime.at_number(anchor.number)?;
    let transactions = block.tx();
    let mut signable = transactions.create_signable_offline(call, params).map_err(|error| failed(&error))?;
    let signed = signable.sign(&Hotkey(signer)).map_err(|error| failed(&error))?;
    Ok(signed.into_encoded())
}

/// Commitments.set_commitment with one field, of at most [`CREDENTIALS_BYTES_MAX`] bytes.
pub(super) fn set_commitment(netuid: u16, credentials: &[u8]) -> Call {
    let field = Value::unnamed_variant(format!("Raw{}", credentials.len()), [Value::from_bytes(credentials)]);
    let info = Value::named_composite([("fields", Value::unnamed_composite([field]))]);
    let arguments = Composite::unnamed([Value::u128(netuid.into()), info]);
    subxt::dynamic::tx("Commitments", "set_commitment", arguments)
}

/// SubtensorModule.set_weights: `(uid, u16)`, under the version that the reference sends.
pub(super) fn set_weights(netuid: u16, weights: &[(u16, u16)]) -> Call {
    let list =
        |numbers: Vec<u16>| Value::unnamed_composite(numbers.into_iter().map(|number| Value::u128(number.into())));
    let (uids, values): (Vec<u16>, Vec<u16>) = weights.iter().copied().unzip();
    let arguments =
        Composite::unnamed([Value::u128(netuid.into()), list(uids), list(values), Value::u128(VERSION_KEY)]);
    subxt::dynamic::tx("SubtensorModule", "set_weights", arguments)
}

struct Hotkey<'a>(&'a dyn Signer);

impl subxt::tx::Signer<SubstrateConfig> for Hotkey<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(*self.0.hotkey().bytes())
    }

    fn sign(&self, signer_payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(signer_payload))
    }
}
