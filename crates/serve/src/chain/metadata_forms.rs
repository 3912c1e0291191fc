//! The forms in which the recorded metadata is offered, so that clients of every age can read it: the Python SDK reads
//! versions 14 and 15, and the main network's recorded metadata is of version 16.

use scale_info::form::PortableForm;
use scale_info::{
    Field, Path, PortableRegistry, PortableType, Type, TypeDef, TypeDefPrimitive, TypeDefTuple, TypeParameter,
};
use subxt::ext::codec::{Decode, Encode};
use subxt::ext::frame_metadata::v15::RuntimeMetadataV15;
use subxt::ext::frame_metadata::{META_RESERVED, RuntimeMetadata, RuntimeMetadataPrefixed, v14, v15, v16};

/// Metadata in the older forms, as SCALE with the prefix that nodes send.
pub(super) struct OlderForms {
    /// Version 14.
    pub(super) v14: Vec<u8>,
    /// Version 15, in which a number that has its own type, such as `NetUid`, is described as the number it is:
    /// bittensor 9.10.1 neither encodes nor reads such types. The bytes that it describes are the same.
    pub(super) v15: Vec<u8>,
}

impl OlderForms {
    /// Returns the forms of metadata of version 15 or 16; none of any other.
    pub(super) fn of(metadata: &[u8]) -> Option<Self> {
        let v15 = match RuntimeMetadataPrefixed::decode(&mut &*metadata).ok()?.1 {
            RuntimeMetadata::V15(metadata) => metadata,
            RuntimeMetadata::V16(metadata) => from_v16(metadata),
            _ => return None,
        };
        let encoded = |metadata| RuntimeMetadataPrefixed(META_RESERVED, metadata).encode();
        Some(Self {
            v14: encoded(RuntimeMetadata::V14(from_v15(v15.clone()))),
            v15: encoded(RuntimeMetadata::V15(with_plain_numbers(v15))),
        })
    }
}

fn from_v15(metadata: RuntimeMetadataV15) -> v14::RuntimeMetadataV14 {
    let RuntimeMetadataV15 { mut types, pallets, extrinsic, ty, .. } = metadata;
    let extrinsic = older_extrinsic(&mut types, extrinsic);
    let pallets = pallets.into_iter().map(older_pallet).collect();
    v14::RuntimeMetadataV14 { types, pallets, extrinsic, ty }
}

fn from_v16(metadata: v16::RuntimeMetadataV16) -> RuntimeMetadataV15 {
    let v16::RuntimeMetadataV16 { mut types, pallets, extrinsic, apis, outer_enums, custom } = metadata;
    let v16::ExtrinsicMetadata {
        versions,
        address_ty,
        call_ty,
        signature_ty,
        transaction_extensions_by_version,
        transaction_extensions,
    } = extrinsic;
    // Older clients sign by the first version of the extensions.
    let indices = transaction_extensions_by_version.into_values().next().unwrap_or_default();
    let signed_extensions: Vec<_> = indices
        .into_iter()
        .filter_map(|index| transaction_extensions.get(index.0 as usize))
        .map(|extension| v15::SignedExtensionMetadata {
            identifier: extension.identifier.clone(),
            ty: extension.ty,
            additional_signed: extension.implicit,
        })
        .collect();
    let extra_ty = tuple(&mut types, signed_extensions.iter().map(|extension| extension.ty).collect());
    let runtime_ty = tuple(&mut types, Vec::new());
    let extrinsic = v15::ExtrinsicMetadata {
        version: versions.into_iter().min().unwrap_or(4),
        address_ty,
        call_ty,
        signature_ty,
        extra_ty,
        signed_extensions,
    };
    RuntimeMetadataV15 {
        types,
        pallets: pallets.into_iter().map(pallet_without_deprecations).collect(),
        extrinsic,
        ty: runtime_ty,
        apis: apis.into_iter().map(api_without_deprecations).collect(),
        outer_enums,
        custom,
    }
}

/// Returns a new tuple of these types.
fn tuple(types: &mut PortableRegistry, fields: Vec<PortableId>) -> PortableId {
    let id = types.types.len() as u32;
    let ty = Type::new(Path::default(), Vec::new(), TypeDefTuple::new_portable(fields), Vec::new());
    types.types.push(PortableType { id, ty });
    id.into()
}

type PortableId = <PortableForm as scale_info::form::Form>::Type;

fn pallet_without_deprecations(pallet: v16::PalletMetadata<PortableForm>) -> v15::PalletMetadata<PortableForm> {
    let v16::PalletMetadata { name, storage, calls, event, constants, error, index, docs, .. } = pallet;
    let entry = |entry: v16::StorageEntryMetadata<PortableForm>| v15::StorageEntryMetadata {
        name: entry.name,
        modifier: entry.modifier,
        ty: entry.ty,
        default: entry.default,
        docs: entry.docs,
    };
    let constant = |constant: v16::PalletConstantMetadata<PortableForm>| v15::PalletConstantMetadata {
        name: constant.name,
        ty: constant.ty,
        value: constant.value,
        docs: constant.docs,
    };
    v15::PalletMetadata {
        name,
        storage: storage.map(|storage| v15::PalletStorageMetadata {
            prefix: storage.prefix,
            entries: storage.entries.into_iter().map(entry).collect(),
        }),
        calls: calls.map(|calls| v15::PalletCallMetadata { ty: calls.ty }),
        event: event.map(|event| v15::PalletEventMetadata { ty: event.ty }),
        constants: constants.into_iter().map(constant).collect(),
        error: error.map(|error| v15::PalletErrorMetadata { ty: error.ty }),
        index,
        docs,
    }
}

fn api_without_deprecations(api: v16::RuntimeApiMetadata<PortableForm>) -> v15::RuntimeApiMetadata<PortableForm> {
    let method = |method: v16::RuntimeApiMethodMetadata<PortableForm>| v15::RuntimeApiMethodMetadata {
        name: method.name,
        inputs: method.inputs,
        output: method.output,
        docs: method.docs,
    };
    v15::RuntimeApiMetadata { name: api.name, methods: api.methods.into_iter().map(method).collect(), docs: api.docs }
}

fn with_plain_numbers(mut metadata: RuntimeMetadataV15) -> RuntimeMetadataV15 {
    let types = &mut metadata.types;
    for index in 0..types.types.len() {
        if let TypeDef::Composite(composite) = &types.types[index].ty.type_def
            && let [Field { name: None, ty, .. }] = composite.fields.as_slice()
            && let Some(TypeDef::Primitive(number)) = types.resolve(ty.id).map(|ty| &ty.type_def)
        {
            types.types[index].ty.type_def = TypeDef::Primitive(number.clone());
        }
    }
    metadata
}

fn older_pallet(pallet: v15::PalletMetadata<PortableForm>) -> v14::PalletMetadata<PortableForm> {
    let v15::PalletMetadata { name, storage, calls, event, constants, error, index, docs: _ } = pallet;
    v14::PalletMetadata { name, storage, calls, event, constants, error, index }
}

/// The older version has the extrinsic's parts as the parameters of its type, which the newer one does not
/// describe.
fn older_extrinsic(
    types: &mut PortableRegistry,
    extrinsic: v15::ExtrinsicMetadata<PortableForm>,
) -> v14::ExtrinsicMetadata<PortableForm> {
    let parts = [
        ("Address", extrinsic.address_ty),
        ("Call", extrinsic.call_ty),
        ("Signature", extrinsic.signature_ty),
        ("Extra", extrinsic.extra_ty),
    ];
    let parameters: Vec<_> =
        parts.into_iter().map(|(name, ty)| TypeParameter::new_portable(name.to_owned(), Some(ty))).collect();
    let segments = ["sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic"].map(str::to_owned);
    let id = types.types.len() as u32;
    let ty = Type::new(Path::from_segments_unchecked(segments), parameters, TypeDefPrimitive::U8, Vec::new());
    types.types.push(PortableType { id, ty });
    let extension = |extension: v15::SignedExtensionMetadata<PortableForm>| v14::SignedExtensionMetadata {
        identifier: extension.identifier,
        ty: extension.ty,
        additional_signed: extension.additional_signed,
    };
    v14::ExtrinsicMetadata {
        ty: id.into(),
        version: extrinsic.version,
        signed_extensions: extrinsic.signed_extensions.into_iter().map(extension).collect(),
    }
}

#[cfg(test)]
mod tests {
    use subxt::Metadata;

    use super::*;
    use crate::chain::Runtime;

    fn read(mut bytes: &[u8]) -> Metadata {
        Metadata::decode(&mut bytes).expect("metadata")
    }

    #[test]
    fn a_reader_of_every_version_finds_the_same() {
        for runtime in Runtime::ALL {
            let recorded = read(runtime.metadata());
            let forms = OlderForms::of(runtime.metadata()).expect("a known version");
            for older in [read(&forms.v14), read(&forms.v15)] {
                for pallet in recorded.pallets() {
                    let other = older.pallet_by_name(pallet.name()).expect("the pallet");
                    assert_eq!(pallet.call_variants(), other.call_variants(), "{}", pallet.name());
                    assert_eq!(pallet.event_variants(), other.event_variants(), "{}", pallet.name());
                }
                let extensions = |metadata: &Metadata| {
                    let extensions = metadata.extrinsic().transaction_extensions_to_use_for_encoding();
                    extensions.map(|extension| extension.identifier().to_owned()).collect::<Vec<_>>()
                };
                assert_eq!(extensions(&recorded), extensions(&older));
            }
        }
        assert!(OlderForms::of(b"meta\x0d").is_none());
    }

    #[test]
    fn a_subnet_is_given_as_a_number() {
        for runtime in Runtime::ALL {
            let metadata = read(&OlderForms::of(runtime.metadata()).expect("a known version").v15);
            let api = metadata.runtime_api_trait_by_name("NeuronInfoRuntimeApi").unwrap();
            let input = api.method_by_name("get_neurons_lite").unwrap().inputs().next().unwrap().id;
            let input = &metadata.types().resolve(input).unwrap().type_def;
            assert_eq!(*input, TypeDef::Primitive(TypeDefPrimitive::U16));
        }
    }
}
