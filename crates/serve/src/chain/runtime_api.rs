//! Answers of the runtime's own calls, encoded by its description of their types.
//!
//! Clients read many fields that the served chain does not use; these hold the empty value of their type: zero or empty.

use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, TypeDefPrimitive};
use subxt::Metadata;
use subxt::ext::codec::{Compact, Decode, Encode};

use super::state::State;

/// Structures that describe one neuron each.
const NEURON_STRUCTURES: [&str; 2] = ["NeuronInfo", "NeuronInfoLite"];
/// Fields that have one entry per neuron.
const NEURON_FIELDS: [&str; 21] = [
    "active",
    "alpha_stake",
    "axons",
    "block_at_registration",
    "coldkeys",
    "consensus",
    "dividends",
    "emission",
    "hotkeys",
    "identities",
    "incentive",
    "incentives",
    "last_update",
    "pruning_score",
    "rank",
    "stake_weight",
    "tao_stake",
    "total_stake",
    "trust",
    "validator_permit",
    "validator_trust",
];

/// Returns the answer to a call such as `SubnetInfoRuntimeApi_get_metagraph`; none if the runtime has no such call.
pub(super) fn answer(state: &State, method: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    match method {
        "Metadata_metadata_at_version" => {
            let version = u32::decode(&mut &arguments[..]).ok()?;
            return Some(state.runtime.metadata_in(version).map(<[u8]>::to_vec).encode());
        }
        "Metadata_metadata_versions" => return Some(state.runtime.metadata_versions().to_vec().encode()),
        "AccountNonceApi_account_nonce" => {
            let account = <[u8; 32]>::decode(&mut &arguments[..]).ok()?;
            return Some((state.nonce(&account) as u32).encode());
        }
        _ => {}
    }
    let metadata = Metadata::decode(&mut state.runtime.metadata()).ok()?;
    let (api, name) = method.split_once('_')?;
    let output = metadata.runtime_api_trait_by_name(api)?.method_by_name(name)?.output_ty();
    let netuid = u16::decode(&mut &arguments[..]).unwrap_or_default();
    let encoder = Encoder { types: metadata.types(), state, netuid };
    encoder.top(output)
}

struct Encoder<'a> {
    types: &'a PortableRegistry,
    state: &'a State,
    netuid: u16,
}

impl Encoder<'_> {
    /// Returns an answer with all optional values, and full lists of neurons.
    fn top(&self, id: u32) -> Option<Vec<u8>> {
        if let Some(inner) = self.inner_of_option(id) {
            return Some([vec![1], self.value(inner, None)?].concat());
        }
        if let TypeDef::Sequence(sequence) = &self.types.resolve(id)?.type_def {
            let element = sequence.type_param.id;
            let path = &self.types.resolve(element)?.path.segments;
            if path.last().is_some_and(|name| NEURON_STRUCTURES.contains(&name.as_str())) {
                return self.per_neuron(element);
            }
        }
        self.value(id, None)
    }

    /// Returns an empty value, except for the known fields; `uid` is its neuron.
    fn value(&self, id: u32, uid: Option<u16>) -> Option<Vec<u8>> {
        match &self.types.resolve(id)?.type_def {
            TypeDef::Composite(composite) => self.fields(&composite.fields, uid),
            TypeDef::Variant(variant) => {
                let first = variant.variants.iter().min_by_key(|variant| variant.index)?;
                Some([vec![first.index], self.fields(&first.fields, uid)?].concat())
            }
            TypeDef::Sequence(_) | TypeDef::Compact(_) | TypeDef::BitSequence(_) => Some(vec![0]),
            TypeDef::Array(array) => Some(self.value(array.type_param.id, uid)?.repeat(array.len as usize)),
            TypeDef::Tuple(tuple) => {
                let parts: Option<Vec<_>> = tuple.fields.iter().map(|field| self.value(field.id, uid)).collect();
                Some(parts?.concat())
            }
            TypeDef::Primitive(primitive) => Some(vec![0; primitive_bytes(primitive)]),
        }
    }

    fn fields(&self, fields: &[Field<PortableForm>], uid: Option<u16>) -> Option<Vec<u8>> {
        let parts: Option<Vec<_>> = fields.iter().map(|field| self.field(field, uid)).collect();
        Some(parts?.concat())
    }

    fn field(&self, field: &Field<PortableForm>, uid: Option<u16>) -> Option<Vec<u8>> {
        let id = field.ty.id;
        let neurons = u64::from(self.state.neurons(self.netuid));
        match (field.name.as_deref().unwrap_or_default(), uid) {
            ("netuid", _) => self.number(id, self.netuid.into()),
            ("block", _) => self.number(id, self.state.head()),
            ("num_uids" | "max_uids" | "subnetwork_n", None) => self.number(id, neurons),
            ("hotkey" | "coldkey", Some(uid)) => Some(self.account(uid)),
            ("uid", Some(uid)) => self.number(id, uid.into()),
            ("active" | "validator_permit", Some(_)) => Some(true.encode()),
            (name, None) if NEURON_FIELDS.contains(&name) => self.neuron_field(id),
            // Version 10 of the SDK reads optional values without asking whether they are there.
            (_, None) => self.top(id),
            _ => self.value(id, uid),
        }
    }

    /// Returns a list with an entry per neuron, also where it is optional; anything else as it is.
    fn neuron_field(&self, id: u32) -> Option<Vec<u8>> {
        if let Some(inner) = self.inner_of_option(id) {
            return Some([vec![1], self.neuron_field(inner)?].concat());
        }
        match &self.types.resolve(id)?.type_def {
            TypeDef::Sequence(sequence) => self.per_neuron(sequence.type_param.id),
            _ => self.value(id, None),
        }
    }

    fn per_neuron(&self, element: u32) -> Option<Vec<u8>> {
        let neurons = self.state.neurons(self.netuid);
        let is_account = self.types.resolve(element)?.path.segments.last().is_some_and(|name| name == "AccountId32");
        let of = |uid| if is_account { Some(self.account(uid)) } else { self.value(element, Some(uid)) };
        let parts: Option<Vec<_>> = (0..neurons).map(of).collect();
        Some([Compact(u32::from(neurons)).encode(), parts?.concat()].concat())
    }

    fn account(&self, uid: u16) -> Vec<u8> {
        self.state.hotkey(self.netuid, uid).map_or(vec![0; 32], |hotkey| hotkey.bytes().to_vec())
    }

    /// A number in whatever integer type this is.
    fn number(&self, id: u32, value: u64) -> Option<Vec<u8>> {
        match &self.types.resolve(id)?.type_def {
            TypeDef::Compact(_) => Some(Compact(value).encode()),
            TypeDef::Primitive(primitive) => {
                let bytes = [value.to_le_bytes(), [0; 8]].concat();
                bytes.get(..primitive_bytes(primitive)).map(<[u8]>::to_vec)
            }
            TypeDef::Composite(composite) => self.number(composite.fields.first()?.ty.id, value),
            _ => self.value(id, None),
        }
    }

    fn inner_of_option(&self, id: u32) -> Option<u32> {
        let found = self.types.resolve(id)?;
        let is_option = found.path.segments.last().is_some_and(|name| name == "Option");
        is_option.then(|| found.type_params.first()?.ty.map(|ty| ty.id)).flatten()
    }
}

/// Returns bytes of a primitive's zero; those of an empty text are its length.
const fn primitive_bytes(primitive: &TypeDefPrimitive) -> usize {
    match primitive {
        TypeDefPrimitive::Bool | TypeDefPrimitive::U8 | TypeDefPrimitive::I8 | TypeDefPrimitive::Str => 1,
        TypeDefPrimitive::U16 | TypeDefPrimitive::I16 => 2,
        TypeDefPrimitive::U32 | TypeDefPrimitive::I32 | TypeDefPrimitive::Char => 4,
        TypeDefPrimitive::U64 | TypeDefPrimitive::I64 => 8,
        TypeDefPrimitive::U128 | TypeDefPrimitive::I128 => 16,
        TypeDefPrimitive::U256 | TypeDefPrimitive::I256 => 32,
    }
}
