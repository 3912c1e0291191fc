//! Keys, calls, extrinsics and answers against recorded ones. Whole conversations are in `crates/live/tests/it/chain.rs`.

use std::path::Path;

use grail_protocol::signature::{Hotkey, Keypair};
use proptest::prelude::*;
use serde_json::Value as Json;
use subxt::SubstrateConfig;
use subxt::config::substrate::{AccountId32, H256, MultiSignature, SubstrateExtrinsicParamsBuilder};
use subxt::ext::codec::Encode;
use subxt::ext::scale_value::Value;

use super::extrinsic::{Anchor, set_commitment, signed};
use super::foreign::read_as_everything;
use super::outcome::outcome;
use super::runtime::Runtime;
use super::{json, storage};
use grail_miner::ports::CommitError;

const NETUID: u16 = 81;
const GENESIS: [u8; 32] = [0x2f; 32];
const RUNTIMES: [(u32, &str); 2] = [(365, "finney-spec365.scale"), (461, "localnet-spec461.scale")];

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/chain").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn runtimes() -> impl Iterator<Item = Runtime> {
    RUNTIMES.iter().map(|(spec, name)| Runtime::new(GENESIS, (*spec, 1), &fixture(name)).expect("it decodes"))
}

fn golden() -> Json {
    serde_json::from_slice(&fixture("golden_vectors_spec461.json")).expect("it is JSON")
}

fn bytes(hex: &Json) -> Vec<u8> {
    json::bytes_of(hex).expect("hex").expect("bytes")
}

fn credentials() -> Vec<u8> {
    (0..128).map(|i| b'a' + i % 26).collect()
}

fn call_data() -> Vec<u8> {
    [&[0x12, 0x00][..], &NETUID.to_le_bytes(), &[0x04, 0x81], &credentials()].concat()
}

#[test]
fn keys_are_hashed_as_recorded() {
    let golden = golden();
    let recorded = |pallet: &str, name: &str| {
        let keys = golden["storage_keys"].as_array().expect("a list").iter();
        let mut keys = keys.filter(|key| key["pallet"] == pallet && key["storage_function"] == name);
        bytes(&keys.next().expect("it is recorded")["key_hex"])
    };
    let alice = Hotkey::from_ss58("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY").expect("an address");
    let (uid, commitment) = (storage::uid_key(1, alice.bytes()), storage::commitment_key(1, alice.bytes()));
    assert_eq!(uid[..16], recorded("SubtensorModule", "Keys")[..16]);
    assert_eq!(uid[32..34], recorded("SubtensorModule", "Keys")[32..34]);
    assert_eq!(uid[34..], recorded("System", "Account")[32..]);
    assert_eq!(commitment[34..], recorded("Multisig", "Multisigs")[32..72]);
    assert_eq!(storage::events_key(), recorded("System", "Events"));
    assert_eq!(hex::encode(&uid[..32]), "658faa385070e074c85bf6b568cf0555aab1b4e78e1ea8305462ee53b3686dc8");
    assert_eq!(hex::encode(&commitment[..32]), "ca407206ec1ab726b2636c4b145ac287419a60ae8b01e6dcaebd7317e43c69bf");
}

#[test]
fn keys_are_what_each_runtime_expects() {
    let hotkey = [7; 32];
    for runtime in runtimes() {
        let block = runtime.at_number(1).expect("a block");
        let key = |pallet: &str, name: &str| {
            let address = subxt::dynamic::storage::<(u16, [u8; 32]), Value>(pallet, name);
            block.storage().entry(address).and_then(|entry| entry.fetch_key((NETUID, hotkey))).expect("a key")
        };
        assert_eq!(key("SubtensorModule", "Uids"), storage::uid_key(NETUID, &hotkey));
        assert_eq!(key("Commitments", "CommitmentOf"), storage::commitment_key(NETUID, &hotkey));
    }
}

#[test]
fn each_runtime_gives_the_same_call() {
    assert_eq!(call_data().len(), 134);
    let call = set_commitment(NETUID, &credentials());
    for runtime in runtimes() {
        let block = runtime.at_number(1).expect("a block");
        assert_eq!(block.tx().call_data(&call).expect("the call exists"), call_data());
    }
}

#[test]
fn payloads_and_extrinsics_are_as_recorded() {
    let golden = golden();
    let genesis = json::hash_of(&golden["network"]["genesis_hash"]).expect("hex").expect("a hash");
    let runtime = Runtime::new(genesis, (461, 1), &fixture(RUNTIMES[1].1)).expect("it decodes");
    let anchor = json::hash_of(&golden["metadata"]["block_hash"]).expect("hex").expect("a hash");
    let block = runtime.at_number(66).expect("a block");
    let transactions = block.tx();
    let mut compared = 0;
    for case in golden["signature_payloads"].as_array().into_iter().chain(golden["extrinsics"].as_array()).flatten() {
        let params = SubstrateExtrinsicParamsBuilder::<SubstrateConfig>::new().nonce(case["nonce"].as_u64().unwrap());
        let params = match case["era"].get("period").and_then(Json::as_u64) {
            Some(period) => {
                params.mortal_from_unchecked(period, case["era"]["current"].as_u64().unwrap(), H256(anchor))
            }
            None => params.immortal(),
        };
        let call = transactions.from_call_data_bytes(&bytes(&case["call_data_hex"])).expect("a call");
        let mut signable = transactions.create_signable_offline(&call, params.build()).expect("signable");
        if case.get("payload_hex").is_some() {
            assert_eq!(signable.signer_payload().expect("a payload"), bytes(&case["payload_hex"]));
        } else {
            let account = AccountId32(bytes(&case["public_key_hex"]).try_into().unwrap());
            let signature = MultiSignature::Sr25519(bytes(&case["signature_hex"]).try_into().unwrap());
            let extrinsic = signable.sign_with_account_and_signature(&account, &signature).expect("signed");
            assert_eq!(extrinsic.encoded(), bytes(&case["extrinsic_hex"]));
        }
        compared += 1;
    }
    assert_eq!(compared, 4);
}

#[test]
fn the_extrinsic_is_signed_over_the_documented_payload() {
    let keypair = Keypair::from_seed(&[5; 32]);
    let anchor = Anchor { number: 100, hash: [0xbb; 32] };
    // Period 32 at block 100: its logarithm less one, and the phase above it.
    let extensions = [0x44, 0x00, 7 << 2, 0x00, 0x00];
    for (runtime, (spec, _)) in runtimes().zip(RUNTIMES) {
        let sign = || signed(&runtime, anchor, 7, &set_commitment(NETUID, &credentials()), &keypair).expect("signed");
        let extrinsic = sign();
        assert_eq!(extrinsic, sign(), "signing is deterministic");
        let head = [&[0x84, 0x00][..], keypair.hotkey().bytes(), &[0x01]].concat();
        let body = &extrinsic[2..];
        assert_eq!(body[..35], head);
        assert_eq!(body[99..], [&extensions[..], &call_data()].concat());
        let versions = [spec.to_le_bytes(), 1u32.to_le_bytes()].concat();
        let payload = [&call_data()[..], &extensions, &versions, &GENESIS, &anchor.hash, &[0x00]].concat();
        assert!(keypair.hotkey().verifies(&payload, &body[35..99]), "spec {spec}");
    }
}

#[test]
fn dispatch_errors_are_reported() {
    for runtime in runtimes() {
        let metadata = runtime.metadata();
        let pallet = metadata.pallet_by_name("Commitments").expect("the pallet").error_index();
        for (error, name) in [
            (0, "TooManyFieldsInCommitmentInfo"),
            (1, "AccountNotAllowedCommit"),
            (2, "SpaceLimitExceeded"),
            (3, "UnexpectedUnreserveLeftover"),
        ] {
            // System.ExtrinsicFailed of extrinsic 2: a module's error, then no weight, normal class, fee paid, no topics.
            let failed = [&[0, 2, 0, 0, 0, 0, 1, 3, pallet, error, 0, 0, 0][..], &[0, 0, 0, 0], &[0]].concat();
            let events = [&[4][..], &failed].concat();
            let Err(CommitError::Refused(why)) = outcome(&runtime, events.clone(), 2, NETUID) else {
                panic!("{name} is a refusal")
            };
            assert!(why.starts_with(name), "{why}");
            assert_eq!(why.contains("not registered on subnet 81"), error == 1);
            assert!(
                matches!(outcome(&runtime, events, 1, NETUID), Err(CommitError::Unknown(_))),
                "of another extrinsic"
            );
        }
        assert!(matches!(outcome(&runtime, vec![0xff; 9], 0, NETUID), Err(CommitError::Unknown(_))));
    }
}

#[test]
fn bytes_that_begin_with_their_own_length_are_no_metadata() {
    for length in [1u8, 10, 63] {
        assert!(Runtime::new(GENESIS, (1, 1), &vec![length << 2; length.into()]).is_err());
    }
}

#[test]
fn metadata_that_no_runtime_has_is_refused_by_its_length() {
    let long = [fixture(RUNTIMES[0].1), vec![0; 4 << 20]].concat();
    let refusal = format!("{:?}", Runtime::new(GENESIS, (1, 1), &long).map(drop));
    assert!(refusal.contains("and at most 4194304 are read"), "{refusal}");
}

#[test]
fn every_shape_of_commitment_is_read() {
    let stored = |fields: &[u8]| [&[0; 12][..], fields].concat();
    let read = |fields: &[u8]| storage::committed_bytes(&stored(fields));
    assert_eq!(read(&[&[4, 129][..], &credentials()].concat()), Ok(Some(credentials())));
    assert_eq!(read(&[4, 4, b'a', b'b', b'c']), Ok(Some(b"abc".to_vec())));
    assert_eq!(read(&[8, 1, 0]), Ok(Some(Vec::new())));
    assert_eq!(read(&[0]), Ok(None));
    assert_eq!(read(&[4, 0]), Ok(None));
    assert_eq!(read(&[&[4, 130][..], &[9; 32]].concat()), Ok(Some(vec![9; 32])));
    assert_eq!(read(&[&[4, 134][..], &b"sealed".to_vec().encode(), &[0; 8]].concat()), Ok(Some(b"sealed".to_vec())));
    assert_eq!(read(&[4, 135]), Ok(None));
    assert_eq!(read(&[&[4, 136][..], &vec![1u8; 300].encode()].concat()), Ok(Some(vec![1; 300])));
    assert!(read(&[4, 129, 1]).is_err());
    assert!(read(&[4]).is_err());
    assert!(read(&[4, 136, 0xfe, 0xff, 0xff, 0xff]).is_err());
    assert!(storage::uid_of(&[1]).is_err());
    assert_eq!(storage::uid_of(&[1, 2]), Ok(0x0201));
}

/// Returns any JSON, with what is expected among it.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "(0x)?[0-9a-fA-F]{0,70}".prop_map(Json::from),
        ".{0,20}".prop_map(Json::from),
    ];
    let name = prop_oneof!["(number|block|extrinsics|inBlock|specVersion|transactionVersion)", ".{0,5}"];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(name.clone(), inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_answer_makes_a_reader_panic(answer in any_json()) {
        read_as_everything(&answer);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for bytes in [&bytes[..], &[b"meta\x0f", &bytes[..]].concat()] {
            read_as_everything(&format!("0x{}", hex::encode(bytes)).into());
        }
    }
}
