//! Properties of signatures: deterministic, verified by their own key over their own message, and by nothing else.

use grail_protocol::signature::{KeyError, Keypair, binding_of};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_signature_is_deterministic_and_verifies(seed in any::<[u8; 32]>(), message in vec(any::<u8>(), 0..200)) {
        let keypair = Keypair::from_seed(&seed);
        let signature = keypair.sign(&message);
        prop_assert_eq!(keypair.sign(&message), signature);
        prop_assert_eq!(Keypair::from_seed(&seed).sign(&message), signature);
        prop_assert!(keypair.hotkey().verifies(&message, &signature));
    }

    #[test]
    fn a_wrapped_message_verifies_as_wallets_wrap_it(seed in any::<[u8; 32]>(), message in vec(any::<u8>(), 0..40)) {
        let keypair = Keypair::from_seed(&seed);
        let signature = keypair.sign(&[b"<Bytes>", &message[..], b"</Bytes>"].concat());
        prop_assert!(keypair.hotkey().verifies(&message, &signature));
    }

    #[test]
    fn any_altered_bit_fails(
        seed in any::<[u8; 32]>(),
        message in vec(any::<u8>(), 1..80),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let keypair = Keypair::from_seed(&seed);
        let signature = keypair.sign(&message);
        let altered = flipped(&message, at.index(message.len()), bit);
        prop_assert!(!keypair.hotkey().verifies(&altered, &signature));
        let altered = flipped(&signature, at.index(signature.len()), bit);
        prop_assert!(!keypair.hotkey().verifies(&message, &altered));
        let stranger = Keypair::from_seed(&flipped(&seed, at.index(32), bit).try_into().unwrap());
        prop_assert!(!stranger.hotkey().verifies(&message, &signature));
    }

    #[test]
    fn arbitrary_signatures_are_refused(key in any::<[u8; 32]>(), signature in vec(any::<u8>(), 0..70)) {
        let hotkey = grail_protocol::signature::Hotkey::from_bytes(key);
        prop_assert!(!hotkey.verifies(b"message", &signature));
    }

    #[test]
    fn arbitrary_secrets_are_a_key_or_refused(secret in vec(any::<u8>(), 60..68)) {
        match Keypair::from_secret_bytes(&secret) {
            Ok(keypair) => prop_assert!(keypair.hotkey().verifies(b"m", &keypair.sign(b"m"))),
            Err(error) => prop_assert_eq!(error, KeyError::Secret),
        }
    }

    #[test]
    fn a_binding_depends_on_all_that_it_binds(
        tokens in vec(any::<u32>(), 1..20),
        s_vals in vec(any::<u32>(), 1..20),
        randomness in vec(any::<u8>(), 1..40),
    ) {
        let binding = binding_of(&tokens, &s_vals, &randomness);
        prop_assert_ne!(binding_of(&tokens[1..], &s_vals, &randomness), binding);
        prop_assert_ne!(binding_of(&tokens, &s_vals[1..], &randomness), binding);
        prop_assert_ne!(binding_of(&tokens, &s_vals, &randomness[1..]), binding);
    }
}

#[test]
fn debug_text_never_shows_the_secret() {
    let keypair = Keypair::from_seed(&[7; 32]);
    assert_eq!(format!("{keypair:?}"), format!("Keypair({})", keypair.hotkey().to_ss58()));
}

fn flipped(bytes: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut altered = bytes.to_vec();
    altered[at] ^= 1 << bit;
    altered
}
