//! A tokenizer's file: one that is taken encodes and decodes every text without a panic, and always alike.
#![no_main]

use grail_engine::HfTokenizer;
use grail_protocol::generation::Tokenizer;
use libfuzzer_sys::fuzz_target;

const TEXTS: [&str; 3] = ["", "(x1 OR NOT x2) AND\n\n x3 = 1", "\u{feff}é 漢字 \u{202e}\0 <|im_end|>"];

fuzz_target!(|data: &[u8]| {
    let Ok(tokenizer) = HfTokenizer::from_bytes(data, "fuzz") else { return };
    tokenizer.vocabulary();
    for text in TEXTS {
        let tokens = tokenizer.encode(text);
        assert_eq!(tokenizer.encode(text), tokens);
        tokenizer.decode(&tokens, false);
        tokenizer.decode(&tokens, true);
    }
    tokenizer.decode(&[0, 1, u32::MAX], false);
});
