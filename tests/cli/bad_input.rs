//! Input that cannot be used: one line on standard error that names the problem and what to do, exit code 2, no panic.

use std::path::Path;

use crate::process::{Finished, folder, grail};

const BLOCK_HASH: &str = "0x6bd42698f399072f86cc29260398b173485187699702c1b2a33af461f5e748f9";
const ADDRESS: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Each output under its name, for a snapshot.
#[derive(Default)]
struct Errors(String);

impl Errors {
    fn add(&mut self, name: &str, finished: &Finished) {
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{name}: {finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{name}: {finished:?}");
        self.0.push_str(&format!("{name}\n  {}", finished.stderr));
    }
}

fn verify(folder: &Path, file: &str) -> Finished {
    grail(folder, &["verify", file, "--block-hash", BLOCK_HASH])
}

#[test]
fn files_that_are_no_window_files() {
    let folder = folder("no-window-files");
    let gzip_of_nothing_yet = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 75];
    let long_integer = format!(r#"{{"wallet": {}}}"#, "9".repeat(5000));
    let deep = "[".repeat(100_000);
    let files: [(&str, &[u8]); 9] = [
        ("empty", b""),
        ("truncated.gz", &gzip_of_nothing_yet),
        ("not-deflated.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03plain text after a header of gzip"),
        ("plain-text", b"hello\n"),
        ("not-utf-8", b"{\"wallet\": \"\xff\xfe\"}"),
        ("half-an-object", b"{\"wallet\": "),
        ("two-documents", b"{} {}"),
        ("long-integer", long_integer.as_bytes()),
        ("deep-nesting", deep.as_bytes()),
    ];
    let mut errors = Errors::default();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
        errors.add(name, &verify(&folder, name));
    }
    std::fs::create_dir(folder.join("a-folder")).unwrap();
    for name in ["a-folder", "a-missing-file", "a-missing-folder/file", "plain-text/file", "line\nbreak"] {
        errors.add(&name.replace('\n', "\\n"), &verify(&folder, name));
    }
    insta::assert_snapshot!(errors.0, @r#"
    empty
      grail: empty is not a window file: not valid JSON at byte 0: the text ends too early; a window file is one JSON object, gzipped or plain
    truncated.gz
      grail: truncated.gz is not a window file: the gzip member at byte 0 is incomplete; fetch or write the file again
    not-deflated.gz
      grail: not-deflated.gz is not a window file: the compressed data of the gzip member at byte 0 is damaged; fetch or write the file again
    plain-text
      grail: plain-text is not a window file: not valid JSON at byte 0: a value must be here; a window file is one JSON object, gzipped or plain
    not-utf-8
      grail: not-utf-8 is not a window file: not valid JSON at byte 12: not UTF-8 text; write the file as UTF-8; a window file is one JSON object, gzipped or plain
    half-an-object
      grail: half-an-object is not a window file: not valid JSON at byte 11: the text ends too early; a window file is one JSON object, gzipped or plain
    two-documents
      grail: two-documents is not a window file: not valid JSON at byte 3: something follows the document; a window file is one JSON object, gzipped or plain
    long-integer
      grail: long-integer is not a window file: not valid JSON at byte 5011: an integer of more than 4300 digits; a window file is one JSON object, gzipped or plain
    deep-nesting
      grail: deep-nesting is not a window file: not valid JSON at byte 513: nested more than 512 levels deep; a window file is one JSON object, gzipped or plain
    a-folder
      grail: cannot read a-folder (Is a directory (os error 21)); give the path of a window file
    a-missing-file
      grail: cannot read a-missing-file (No such file or directory (os error 2)); give the path of a window file
    a-missing-folder/file
      grail: cannot read a-missing-folder/file (No such file or directory (os error 2)); give the path of a window file
    plain-text/file
      grail: cannot read plain-text/file (Not a directory (os error 20)); give the path of a window file
    line\nbreak
      grail: argument 2 (`line\nbreak`) holds U+000A (line break) as character 5 of 10; type it again without that character
    "#);
}

#[test]
fn documents_that_name_no_wallet_or_window() {
    let folder = folder("no-wallet-or-window");
    let documents = [
        "null",
        "[]",
        "3",
        "NaN",
        "{}",
        r#"{"wallet": null}"#,
        r#"{"wallet": [3], "window_start": 300}"#,
        r#"{"wallet": "", "window_start": 300}"#,
        r#"{"wallet": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ", "window_start": 300}"#,
        r#"{"wallet": "ADDRESS"}"#,
        r#"{"wallet": "ADDRESS", "window_start": "300"}"#,
        r#"{"wallet": "ADDRESS", "window_start": -30}"#,
        r#"{"wallet": "ADDRESS", "window_start": NaN}"#,
        r#"{"wallet": "ADDRESS", "window_start": 1e400}"#,
        r#"{"wallet": "ADDRESS", "window_start": 99999999999999999999999999999999999999999999}"#,
    ];
    let mut errors = Errors::default();
    for document in documents {
        std::fs::write(folder.join("file.json"), document.replace("ADDRESS", ADDRESS)).unwrap();
        errors.add(document, &verify(&folder, "file.json"));
    }
    insta::assert_snapshot!(errors.0, @r#"
    null
      grail: the file holds null; a window file is a JSON object with wallet and inferences
    []
      grail: the file holds a list; a window file is a JSON object with wallet and inferences
    3
      grail: the file holds an integer; a window file is a JSON object with wallet and inferences
    NaN
      grail: the file holds a float; a window file is a JSON object with wallet and inferences
    {}
      grail: the file names no wallet; say whose file it should be with --hotkey
    {"wallet": null}
      grail: the file names no wallet; say whose file it should be with --hotkey
    {"wallet": [3], "window_start": 300}
      grail: the file names no wallet; say whose file it should be with --hotkey
    {"wallet": "", "window_start": 300}
      grail: the file's wallet: "" is not an SS58 address of prefix 42; copy the hotkey's address as `btcli wallet list` shows it
    {"wallet": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ", "window_start": 300}
      grail: the file's wallet: "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ" is not an SS58 address of prefix 42; copy the hotkey's address as `btcli wallet list` shows it
    {"wallet": "ADDRESS"}
      grail: the file's window_start is missing or no block number; write the window's first block
    {"wallet": "ADDRESS", "window_start": "300"}
      grail: the file's window_start is missing or no block number; write the window's first block
    {"wallet": "ADDRESS", "window_start": -30}
      grail: the file's window_start is missing or no block number; write the window's first block
    {"wallet": "ADDRESS", "window_start": NaN}
      grail: the file's window_start is missing or no block number; write the window's first block
    {"wallet": "ADDRESS", "window_start": 1e400}
      grail: the file's window_start is missing or no block number; write the window's first block
    {"wallet": "ADDRESS", "window_start": 99999999999999999999999999999999999999999999}
      grail: the file's window_start is missing or no block number; write the window's first block
    "#);
}

/// A validator has a verdict on these, which is an answer and is on standard output.
#[test]
fn documents_of_odd_types_get_a_verdict_and_a_remedy() {
    let folder = folder("odd-types");
    let rollouts = [
        ("null", 2),
        ("3", 2),
        (r#""text""#, 2),
        ("[3]", 2),
        ("[[]]", 2),
        ("[{}]", 1),
        (r#"[{"nonce": NaN, "commit": 1e400}]"#, 1),
        (r#"[{"rollout_group": {"a": [1]}}]"#, 1),
    ];
    for (rollouts, code) in rollouts {
        let document = format!(r#"{{"wallet": "{ADDRESS}", "window_start": 300, "inferences": {rollouts}}}"#);
        std::fs::write(folder.join("file.json"), document).unwrap();
        let finished = verify(&folder, "file.json");
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(code), ""), "{rollouts}: {finished:?}");
        assert!(finished.stdout.lines().last().unwrap().starts_with("remedy: "), "{rollouts}: {finished:?}");
        let json = grail(&folder, &["verify", "file.json", "--block-hash", BLOCK_HASH, "--json", "--all"]);
        assert_eq!(json.code, Some(code), "{rollouts}: {json:?}");
        assert!(json.json()["remedy"].is_string(), "{rollouts}: {json:?}");
    }
}

#[test]
fn options_of_verify_that_cannot_be_used() {
    let folder = folder("options-of-verify");
    let document = format!(r#"{{"wallet": "{ADDRESS}", "window_start": 300, "inferences": []}}"#);
    std::fs::write(folder.join("file.json"), document).unwrap();
    std::fs::create_dir(folder.join("empty-model")).unwrap();
    std::fs::create_dir(folder.join("odd-model")).unwrap();
    std::fs::write(folder.join("odd-model/config.json"), "{}").unwrap();
    assert_eq!(verify(&folder, "file.json").code, Some(0), "the file itself is usable");
    let upper_case = BLOCK_HASH.to_uppercase();
    let options = [
        ("--block-hash", "abc"),
        ("--block-hash", &BLOCK_HASH[2..]),
        ("--block-hash", &upper_case),
        ("--hotkey", "5Grwva"),
        ("--hotkey", ""),
        ("--validator", "cosmos1abc"),
        ("--randomness", "0x"),
        ("--randomness", "xyz"),
        ("--model", "a-missing-model"),
        ("--model", "empty-model"),
        ("--model", "odd-model"),
        ("--model", "file.json"),
    ];
    let mut errors = Errors::default();
    for (option, value) in options {
        let mut arguments = vec!["verify", "file.json", option, value];
        if option != "--block-hash" {
            arguments.extend(["--block-hash", BLOCK_HASH]);
        }
        errors.add(&format!("{option} {value:?}"), &grail(&folder, &arguments));
    }
    insta::assert_snapshot!(errors.0, @r#"
    --block-hash "abc"
      grail: --block-hash "abc" is not a block hash; give 0x and 64 lower-case hex digits as the chain shows it
    --block-hash "6bd42698f399072f86cc29260398b173485187699702c1b2a33af461f5e748f9"
      grail: --block-hash "6bd42698f399072f86cc29260398b173485187699702c1b2a33af461f5e748f9" is not a block hash; give 0x and 64 lower-case hex digits as the chain shows it
    --block-hash "0X6BD42698F399072F86CC29260398B173485187699702C1B2A33AF461F5E748F9"
      grail: --block-hash "0X6BD42698F399072F86CC29260398B173485187699702C1B2A33AF461F5E748F9" is not a block hash; give 0x and 64 lower-case hex digits as the chain shows it
    --hotkey "5Grwva"
      grail: --hotkey: "5Grwva" is not an SS58 address of prefix 42; copy the hotkey's address as `btcli wallet list` shows it
    --hotkey ""
      grail: --hotkey: "" is not an SS58 address of prefix 42; copy the hotkey's address as `btcli wallet list` shows it
    --validator "cosmos1abc"
      grail: --validator: "cosmos1abc" is not an SS58 address of prefix 42; copy the hotkey's address as `btcli wallet list` shows it
    --randomness "0x"
      grail: --randomness "0x": the hexadecimal text is empty; give at least one digit
    --randomness "xyz"
      grail: --randomness "xyz": 'x' is not a hexadecimal digit; use 0-9 and a-f
    --model "a-missing-model"
      grail: cannot read a-missing-model/config.json: No such file or directory (os error 2); a model folder holds config.json, tokenizer.json and model.safetensors (or its parts and model.safetensors.index.json)
    --model "empty-model"
      grail: cannot read empty-model/config.json: No such file or directory (os error 2); a model folder holds config.json, tokenizer.json and model.safetensors (or its parts and model.safetensors.index.json)
    --model "odd-model"
      grail: odd-model/config.json: malformed: missing field `model_type` at line 1 column 2; this engine runs Qwen3 networks as Hugging Face publishes them
    --model "file.json"
      grail: cannot read file.json/config.json: Not a directory (os error 20); a model folder holds config.json, tokenizer.json and model.safetensors (or its parts and model.safetensors.index.json)
    "#);
}

#[test]
fn options_of_sim_that_cannot_be_used() {
    let folder = folder("options-of-sim");
    std::fs::write(folder.join("a-file"), "").unwrap();
    let options = [
        ("--faults", "fire"),
        ("--faults", "becon-outage"),
        ("--faults", "slow-engine,,beacon-outage"),
        ("--faults", ""),
        ("--speed", "warp"),
        ("--out", "a-file"),
        ("--out", "a-file/below"),
        ("--trace", "."),
        ("--trace", "a-missing-folder/trace"),
    ];
    let mut errors = Errors::default();
    for (option, value) in options {
        errors.add(&format!("{option} {value:?}"), &grail(&folder, &["sim", "--engine", "synthetic", option, value]));
    }
    insta::assert_snapshot!(errors.0, @r#"
    --faults "fire"
      grail: unknown fault "fire"; use none, random, or names that `grail sim --list-faults` shows
    --faults "becon-outage"
      grail: unknown fault "becon-outage"; did you mean `beacon-outage`? use none, random, or names that `grail sim --list-faults` shows
    --faults "slow-engine,,beacon-outage"
      grail: unknown fault ""; use none, random, or names that `grail sim --list-faults` shows
    --faults ""
      grail: unknown fault ""; use none, random, or names that `grail sim --list-faults` shows
    --speed "warp"
      grail: unknown speed "warp"; use one of a100, h100, h200, reference
    --out "a-file"
      grail: cannot write a-file (File exists (os error 17)); give --out a path that can be written
    --out "a-file/below"
      grail: cannot write a-file/below (Not a directory (os error 20)); give --out a path that can be written
    --trace "."
      grail: cannot write . (Is a directory (os error 21)); give --trace a path that can be written
    --trace "a-missing-folder/trace"
      grail: cannot write a-missing-folder/trace (No such file or directory (os error 2)); give --trace a path that can be written
    "#);
}

/// Characters that a page or a chat adds to a copied command line. A file with such a name still counts as a file.
#[test]
fn invisible_characters_in_an_argument_are_reported_by_position() {
    let folder = folder("invisible-arguments");
    let options = [["--seed", "1\u{200b}"], ["--faults", "\u{feff}none"], ["--faults=no\u{a0}ne", "--json"]];
    for ([first, second], reported) in options.into_iter().zip([
        "argument 3 (`1\\u{200b}`) holds U+200B (zero-width space) as character 2 of 2;",
        "argument 3 (`\\u{feff}none`) holds U+FEFF (byte order mark) as character 1 of 5;",
        "argument 2 (`--faults=no\\u{a0}ne`) holds U+00A0 (no-break space) as character 12 of 14;",
    ]) {
        let finished = grail(&folder, &["sim", first, second]);
        assert!(finished.code == Some(2) && finished.stderr.starts_with(&format!("grail: {reported}")), "{finished:?}");
        assert_eq!(finished.stdout.contains("\"kind\":\"usage\""), second == "--json", "{finished:?}");
    }
    let name = "a\u{202f}picture.json";
    std::fs::write(folder.join(name), "{}").unwrap();
    let finished = verify(&folder, name);
    assert!(finished.code == Some(2) && !finished.stderr.contains("argument 2"), "{finished:?}");
}

#[test]
fn arguments_that_cannot_be_parsed_end_with_the_same_code() {
    let here = Path::new(".");
    for arguments in [
        &[][..],
        &["mine-bitcoin"],
        &["verify"],
        &["verify", "file"],
        &["sim", "--windows", "0"],
        &["sim", "--windows", "99999999999999999999"],
        &["sim", "--seed", "one"],
        &["sim", "--engine", "warp"],
        &["sim", "--policy", "none"],
    ] {
        let finished = grail(here, arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!finished.stderr.is_empty(), "{arguments:?}");
    }
}
