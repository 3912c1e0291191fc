//! Tokenizers against the reference's ids.

use grail_engine::HfTokenizer;
use grail_protocol::generation::Tokenizer;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;

use crate::fixtures::{ENGINE, json, path, prompts, sha256_of_tokens};

#[test]
fn qwen3s_tokenizer_gives_the_references_ids() {
    let packed = std::fs::read(path("tokenizer/qwen3-tokenizer.json.zst")).unwrap();
    let json_text = zstd::decode_all(packed.as_slice()).unwrap();
    let tokenizer = HfTokenizer::from_bytes(&json_text, "qwen3-tokenizer.json").unwrap();
    assert_eq!(tokenizer.eos_token(), Some(151_645));
    for case in json("golden/prompt_tokens.json")["cases"].as_array().unwrap() {
        let [hotkey, window_hash] = ["hotkey", "window_hash"].map(|name| case[name].as_str().unwrap());
        let text = prompt(&Problem::canonical(hotkey, window_hash, case["index"].as_u64().unwrap() as u32));
        let tokens = tokenizer.encode(&text);
        assert_eq!(sha256_of_tokens(&tokens), case["ids_sha256"].as_str().unwrap());
        assert_eq!(tokenizer.decode(&tokens, false), text);
    }
}

#[test]
fn the_toy_tokenizer_gives_the_ids_of_the_golden_window() {
    let facts = &json("golden/verdicts.json")["facts"];
    let [hotkey, block_hash] = ["hotkey", "block_hash"].map(|name| facts[name].as_str().unwrap());
    for (index, expected) in (0..).zip(&prompts()[..2]) {
        let text = prompt(&Problem::canonical(hotkey, block_hash, index));
        assert_eq!(&ENGINE.tokenizer().encode(&text), expected);
    }
}

#[test]
fn special_tokens_are_recognized_and_none_are_added() {
    let tokenizer = ENGINE.tokenizer();
    assert_eq!(tokenizer.eos_token(), Some(511));
    assert_eq!(tokenizer.encode("<|im_end|>"), [511]);
    assert!(tokenizer.encode("").is_empty());
    let tokens = tokenizer.encode("a<|im_end|>b");
    assert_eq!(tokenizer.decode(&tokens, false), "a<|im_end|>b");
    assert_eq!(tokenizer.decode(&tokens, true), "ab");
}

#[test]
fn spaces_are_left_as_they_are() {
    for text in ["a , b . c 's ! do n't", "  two  spaces  ", "\n\r\n\t", "é≤25 日本"] {
        assert_eq!(ENGINE.tokenizer().decode(&ENGINE.tokenizer().encode(text), false), text);
    }
}

#[test]
fn files_that_are_no_tokenizer_are_refused() {
    let word_level =
        r#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"b"}}"#;
    for text in ["", "{}", word_level] {
        let error = HfTokenizer::from_bytes(text.as_bytes(), "here.json").unwrap_err().to_string();
        assert!(error.contains("here.json"), "{error}");
    }
}

/// The library panics where a file breaks off within its decoder, and at a precompiled normalizer that is none.
#[test]
fn a_damaged_or_foreign_file_is_refused_without_a_panic() {
    let whole = std::fs::read_to_string(path("model/tokenizer.json")).unwrap();
    let decoder = whole.find(r#""decoder""#).unwrap();
    for length in (0..decoder + 400).step_by(53).chain(decoder..decoder + 120) {
        assert!(HfTokenizer::from_bytes(&whole.as_bytes()[..length], "cut.json").is_err(), "cut at {length}");
    }
    let strange = whole.replacen(r#""ByteLevel""#, r#""Byte\ud800Level""#, 8);
    assert!(strange != whole && HfTokenizer::from_bytes(strange.as_bytes(), "strange.json").is_err());
    let mut no_text = whole.clone().into_bytes();
    no_text[decoder + 30..].iter_mut().find(|byte| byte.is_ascii_alphabetic()).map(|byte| *byte = 0xff).unwrap();
    assert!(HfTokenizer::from_bytes(&no_text, "no-text.json").is_err());
    let mut marking: serde_json::Value = serde_json::from_str(&whole).unwrap();
    marking["model"]["continuing_subword_prefix"] = "a long prefix".into();
    assert!(HfTokenizer::from_bytes(marking.to_string().as_bytes(), "marking.json").is_err());
    for merge in [serde_json::json!(["a".repeat(99), "b"]), serde_json::json!("a b")] {
        let mut long: serde_json::Value = serde_json::from_str(&whole).unwrap();
        long["model"]["vocab"] = serde_json::json!({"a": 0, "b": 1, "a".repeat(99): 2});
        long["model"]["merges"] = serde_json::json!([merge]);
        if merge.is_string() {
            long["model"]["vocab"] = serde_json::json!({"a": 0, "b": 1});
        }
        let error = HfTokenizer::from_bytes(long.to_string().as_bytes(), "long.json").unwrap_err().to_string();
        assert!(error.contains("longer than every token"), "{error}");
        // The last of several equal keys counts.
        let twice = whole.replacen(r#""model":"#, &format!(r#""model":{},"model":"#, long["model"]), 1);
        assert!(twice.len() > whole.len());
        assert!(HfTokenizer::from_bytes(twice.as_bytes(), "twice.json").is_ok());
    }
    let precompiled = whole.replacen(r#""NFC""#, r#""Precompiled","precompiled_charsmap":"AAA""#, 1);
    assert!(precompiled != whole);
    assert!(HfTokenizer::from_bytes(precompiled.as_bytes(), "foreign.json").is_err());
}

#[test]
fn a_tokenizer_that_becomes_large_is_refused() {
    let whole = std::fs::read_to_string(path("model/tokenizer.json")).unwrap();
    let with = |more: &str| whole.replacen('{', &format!("{{\"more\":[{more}0],"), 1);
    let small = HfTokenizer::from_bytes(with("0,").as_bytes(), "more.json");
    assert!(small.err().is_none_or(|error| !error.to_string().contains("of memory")));
    for more in ["0,".repeat(17 << 20), r#"{"":0},"#.repeat(1 << 20)] {
        let error = HfTokenizer::from_bytes(with(&more).as_bytes(), "large.json").unwrap_err().to_string();
        assert!(error.contains("more than 512 MiB of memory"), "{error}");
    }
}
