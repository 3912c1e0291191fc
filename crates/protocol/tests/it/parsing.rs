//! Properties of everything that reads foreign text or bytes: hexadecimal, answers, addresses and window files.

use grail_protocol::answer::{Answer, REWARD_BOUNDS};
use grail_protocol::hexadecimal::{bytes_fromhex, randomness_bytes};
use grail_protocol::problem::Problem;
use grail_protocol::signature::{Hotkey, signed_text_bytes};
use grail_protocol::window_file::{WindowFile, unpack};
use proptest::collection::vec;
use proptest::prelude::*;

const ADDRESS: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

proptest! {
    #[test]
    fn arbitrary_text_is_hexadecimal_or_refused(text in any::<String>()) {
        let _ = randomness_bytes(&text);
        let _ = bytes_fromhex(&text);
        let _ = signed_text_bytes(&text);
        let _ = signed_text_bytes(&format!("0x{text}"));
    }

    #[test]
    fn hexadecimal_reads_back(bytes in vec(any::<u8>(), 1..80), prefix in "(0x|0X| |)") {
        let text = hex::encode(&bytes);
        prop_assert_eq!(bytes_fromhex(&text), Ok(bytes.clone()));
        prop_assert_eq!(bytes_fromhex(&text.to_uppercase()), Ok(bytes.clone()));
        prop_assert_eq!(randomness_bytes(&format!("{prefix}{text}\n")), Ok(bytes.clone()));
        prop_assert_eq!(signed_text_bytes(&format!("0x{text}")), Ok(bytes));
    }

    #[test]
    fn an_odd_number_of_digits_gets_a_zero_in_front(bytes in vec(any::<u8>(), 1..20), digit in "[0-9a-f]") {
        let text = format!("{digit}{}", hex::encode(&bytes));
        prop_assert_eq!(randomness_bytes(&text), randomness_bytes(&format!("0{text}")));
    }

    #[test]
    fn arbitrary_completions_give_a_consistent_answer(text in completion(), index in 0u32..50) {
        let problem = Problem::canonical(ADDRESS, "0x00", index);
        let answer = Answer::parse(&text, problem.num_vars);
        let length = if answer.text.is_empty() { 0 } else { problem.num_vars };
        prop_assert_eq!(answer.assignment.len(), length);
        prop_assert!(text.contains(&answer.text));
        prop_assert!(answer.trailing <= text.chars().count());
        prop_assert!(!answer.strict || answer.has_answer && answer.only_bits && answer.trailing == 0);
        prop_assert!(answer.has_answer || answer.text.is_empty() && answer.trailing == 0);
        let reward = answer.reward(&problem);
        let (low, high) = REWARD_BOUNDS;
        prop_assert!((low - 1e-9..=high + 1e-9).contains(&reward.total), "{}", reward.total);
        prop_assert_eq!(reward.success, reward.components[0] == 1.0);
        prop_assert!(!reward.success || problem.is_solved_by(&answer.assignment));
    }

    #[test]
    fn an_answer_given_in_the_form_asked_for_is_read_back(working in "[^<]{0,60}", bits in vec(any::<bool>(), 1..16)) {
        let digits: Vec<&str> = bits.iter().map(|bit| if *bit { "1" } else { "0" }).collect();
        let answer = Answer::parse(&format!("{working}<SOLUTION>{}</SOLUTION>", digits.join(" ")), bits.len());
        prop_assert!(answer.strict && answer.has_answer && !answer.has_thinking);
        prop_assert_eq!(answer.assignment, bits);
    }

    #[test]
    fn addresses_read_back(key in any::<[u8; 32]>()) {
        let hotkey = Hotkey::from_bytes(key);
        prop_assert_eq!(Hotkey::from_ss58(&hotkey.to_ss58()), Ok(hotkey));
    }

    #[test]
    fn arbitrary_text_is_an_address_or_refused(text in prop_oneof![any::<String>(), "5[1-9A-HJ-NP-Za-km-z]{44,49}"]) {
        if let Ok(hotkey) = Hotkey::from_ss58(&text) {
            prop_assert_eq!(hotkey.to_ss58(), text);
        }
    }

    #[test]
    fn arbitrary_bytes_are_a_window_file_or_refused(bytes in vec(any::<u8>(), 0..300), gzip in any::<bool>()) {
        let header: &[u8] = if gzip { &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255] } else { &[] };
        let _ = unpack(&[header, &bytes].concat());
    }

    #[test]
    fn a_damaged_window_file_is_refused_or_unchanged(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let packed = WindowFile::new(ADDRESS, 300, Vec::new(), 1.5).pack();
        let mut damaged = packed.clone();
        damaged[at.index(packed.len())] ^= 1 << bit;
        // Padding, and a header's time and system, carry nothing.
        if let Ok(content) = unpack(&damaged) {
            prop_assert_eq!(content, unpack(&packed).unwrap());
        }
    }
}

#[test]
fn a_window_file_cut_short_is_refused() {
    let packed = WindowFile::new(ADDRESS, 300, Vec::new(), 1.5).pack();
    assert!(unpack(&packed).is_ok());
    for end in 0..packed.len() {
        assert!(unpack(&packed[..end]).is_err(), "{end} of {} bytes", packed.len());
    }
}

#[test]
fn no_single_wrong_character_leaves_an_address_valid() {
    let alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl é";
    for (at, right) in ADDRESS.char_indices() {
        for wrong in alphabet.chars().filter(|c| *c != right) {
            let altered: String = ADDRESS.char_indices().map(|(i, c)| if i == at { wrong } else { c }).collect();
            assert!(Hotkey::from_ss58(&altered).is_err(), "{altered}");
        }
    }
    assert!(Hotkey::from_ss58(&ADDRESS.repeat(1000)).is_err());
}

/// Text that is likely to hold tags, whole and broken, and bits.
fn completion() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<SOLUTION>",
            "</SOLUTION>",
            "<solution>",
            "</ſolutıon>",
            "< SOLUTION>",
            "</SOLUTION",
            "<start_working_out>",
            "</end_working_out>",
            "<end_working_out>",
        ])
        .prop_map(str::to_owned),
        "[01 \\n\u{a0}]{0,20}",
        any::<String>(),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}
