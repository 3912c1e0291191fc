//! The forms in which the recorded metadata of version 15 is offered, so that clients of every age can read it.

use scale_info::form::PortableForm;
use scale_info::{Field, Path, PortableRegistry, PortableType, Type, TypeDef, TypeDefPrimitive, TypeParameter};
use subxt::ext::codec::{Decode, Encode};
use subxt::ext::frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed, v14, v15};

/// Version 14 of this metadata, where it is of version 15.
pub(super) fn from_v15(metadata: &[u8]) -> Option<Vec<u8>> {
    let prefixed = RuntimeMetadataPrefixed::decode(&mut &*metadata).ok()?;
    let RuntimeMetadata::V15(metadata) = prefixed.1 else { return None };
    let v15::RuntimeMetadataV15 { mut types, pallets, extrinsic, ty, .. } = metadata;
    let extrinsic = older_extrinsic(&mut types, extrinsic);
    let pallets = pallets.into_iter().map(older_pallet).collect();
    let older = v14::RuntimeMetadataV14 { types, pallets, extrinsic, ty };
    Some(RuntimeMetadataPrefixed(prefixed.0, RuntimeMetadata::V14(older)).encode())
}

/// The same metadata, in which a number that has a type of its own, such as `NetUid`, is described as the number it is.
///
/// bittensor 9.10.1 neither encodes nor reads such types; the bytes are the same.
pub(super) fn with_plain_numbers(metadata: &[u8]) -> Option<Vec<u8>> {
    let mut prefixed = RuntimeMetadataPrefixed::decode(&mut &*metadata).ok()?;
    let RuntimeMetadata::V15(metadata) = &mut prefixed.1 else { return None };
    let types = &mut metadata.types;
    for index in 0..types.types.len() {
        if let TypeDef::Composite(composite) = &types.types[index].ty.type_def
            && let [Field { name: None, ty, .. }] = composite.fields.as_slice()
            && let Some(TypeDef::Primitive(number)) = types.resolve(ty.id).map(|ty| &ty.type_def)
        {
            types.types[index].ty.type_def = TypeDef::Primitive(number.clone());
        }
    }
    Some(prefixed.encode())
}

fn older_pallet(pallet: v15::PalletMetadata<PortableForm>) -> v14::PalletMetadata<PortableForm> {
    let v15::PalletMetadata { name, storage, calls, event, constants, error, index, docs: _ } = pallet;
    v14::PalletMetadata { name, storage, calls, event, constants, error, index }
}

/// The older version has the extrinsic's parts as the parameters of its type, which the newer one does not describe.
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

    #[test]
    fn a_reader_of_both_versions_finds_the_same() {
        let newer = Runtime::Spec461.metadata();
        let older = from_v15(newer).unwrap();
        let [newer, older] = [newer, &older].map(|mut bytes| Metadata::decode(&mut bytes).unwrap());
        for pallet in newer.pallets() {
            let other = older.pallet_by_name(pallet.name()).unwrap();
            assert_eq!(pallet.call_variants(), other.call_variants());
            assert_eq!(pallet.event_variants(), other.event_variants());
        }
        let extensions = |metadata: &Metadata| {
            let extensions = metadata.extrinsic().transaction_extensions_to_use_for_encoding();
            extensions.map(|extension| extension.identifier().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(extensions(&newer), extensions(&older));
        assert!(from_v15(Runtime::Spec365.metadata()).is_none());
    }

    #[test]
    fn a_subnet_is_given_as_a_number() {
        let metadata = with_plain_numbers(Runtime::Spec461.metadata()).unwrap();
        let metadata = Metadata::decode(&mut &metadata[..]).unwrap();
        let api = metadata.runtime_api_trait_by_name("NeuronInfoRuntimeApi").unwrap();
        let input = api.method_by_name("get_neurons_lite").unwrap().inputs().next().unwrap().id;
        let input = &metadata.types().resolve(input).unwrap().type_def;
        assert_eq!(*input, TypeDef::Primitive(TypeDefPrimitive::U16));
    }
}
