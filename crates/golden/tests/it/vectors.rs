//! All golden vectors hold, and a runner that compares nothing is noticed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use grail_golden::{FileReport, GoldenError, GoldenRunner};
use grail_protocol::python_json::{self, Value};

/// Per kind, a file of it and the outputs that a case records.
const OUTPUTS: &[(&str, &str, &[&str])] = &[
    ("advantages", "golden", &["advantages"]),
    ("canonical_json", "golden", &["canonical", "sha256"]),
    ("commit_binding", "golden", &["tokens_hash", "s_vals_hash", "binding"]),
    (
        "cpython_random",
        "golden",
        &[
            "random3",
            "randint_4_15_x5",
            "sample_1_16_k3",
            "sample_1000_k16",
            "shuffle20",
            "getrandbits32",
            "sample_g0_g39_k4",
        ],
    ),
    ("distribution_metrics", "golden", &["metrics"]),
    ("group_sampling", "golden", &["checked"]),
    ("gzip_decompress", "python", &["bytes", "sha256"]),
    ("indices", "golden", &["tokens_head", "tokens_sha256", "indices"]),
    ("json_loads", "python", &["canonical", "str"]),
    ("numpy_metrics", "python", &["metrics"]),
    ("prf", "golden", &["out"]),
    ("prompt_tokens", "golden", &["text", "ids", "len", "ids_sha256"]),
    ("r_vec", "golden", &["first", "sha256_be_i32"]),
    ("rewards", "golden", &["parsed", "rewards", "total", "success", "satisfied"]),
    ("sat_problem", "golden", &["seed", "difficulty", "num_vars", "clauses", "prompt_sha256", "prompt"]),
    ("sat_problem_free", "golden", &["num_vars", "clauses"]),
    ("sdk_weights", "python", &["emitted"]),
    (
        "signature_vectors",
        "wallets",
        &["hotkey_ss58", "public", "sig_hex", "sig_str_hex", "sig_hexstr", "wrapped_sig_of_hello"],
    ),
    ("verdicts", "golden", &["expect"]),
    ("weights", "golden", &["weights"]),
    ("window_randomness", "golden", &["miner_combined", "validator_no_drand"]),
    (
        "toy-model-64",
        "golden-proofs",
        &["config", "tokens_sha256", "hidden_first8", "hidden_last8", "hidden_row_l2", "last_token_logprob"],
    ),
];

#[test]
fn every_vector_holds() {
    let report = runner().check_fixtures().unwrap();
    assert!(report.is_clean(), "{report}");
    let ran: BTreeSet<&str> =
        report.files.iter().filter(|file| file.total > 0).map(|file| file.name.as_str()).collect();
    for kind in GoldenRunner::kinds() {
        assert!(ran.contains(kind), "no vector of {kind} was compared");
    }
}

#[test]
fn every_kind_has_its_outputs_listed_here() {
    let listed: BTreeSet<&str> = OUTPUTS.iter().map(|(name, _, _)| *name).collect();
    assert!(GoldenRunner::kinds().all(|kind| listed.contains(kind)));
}

#[test]
fn an_altered_output_of_any_kind_is_a_miss() {
    for (name, folder, fields) in OUTPUTS {
        for field in *fields {
            let report = check_altered(name, folder, field);
            assert_eq!((report.passed, report.total), (0, 1), "{name}, {field}: {report}");
            let named = report.misses.iter().any(|miss| miss.field.starts_with(field) && miss.expected != miss.got);
            assert!(named, "{name}, {field}: {report}");
        }
    }
}

#[test]
fn a_file_of_an_unknown_kind_is_an_error_that_names_the_known_ones() {
    let folder = empty_folder("unknown-kind");
    std::fs::write(folder.join("prf.json"), read_fixture("golden/prf.json")).unwrap();
    std::fs::write(folder.join("novelty.json"), r#"{"what": "something new", "cases": [{}]}"#).unwrap();
    let error = runner().check_directory(&folder).unwrap_err();
    assert!(matches!(error, GoldenError::UnknownKind { .. }));
    let text = error.to_string();
    assert!(
        text.contains("novelty.json") && text.contains("sat_problem_free") && text.contains("golden proof"),
        "{text}"
    );
}

#[test]
fn a_field_that_nothing_compares_is_an_error() {
    let folder = empty_folder("unknown-field");
    let text = r#"{"what": "", "cases": [{"label": "", "parts": [], "out_bytes": 0, "out": "", "novelty": 1}]}"#;
    std::fs::write(folder.join("prf.json"), text).unwrap();
    let error = runner().check_directory(&folder).unwrap_err().to_string();
    assert!(error.contains("case 0") && error.contains("novelty"), "{error}");
}

#[test]
fn a_folder_or_file_without_vectors_is_an_error() {
    let folder = empty_folder("empty");
    assert!(matches!(runner().check_directory(&folder), Err(GoldenError::Empty { .. })));
    std::fs::write(folder.join("prf.json"), r#"{"cases": []}"#).unwrap();
    assert!(matches!(runner().check_directory(&folder), Err(GoldenError::Malformed { .. })));
    assert!(matches!(runner().check_directory(&folder.join("nowhere")), Err(GoldenError::Read { .. })));
}

/// The runner reads vectors with the protocol's own JSON reader; a fault in that could hide others.
#[test]
fn an_independent_reader_reads_the_same_vectors() {
    for folder in grail_golden::VECTOR_FOLDERS {
        for entry in std::fs::read_dir(fixtures().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = std::fs::read(&path).unwrap();
                let expected: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                let ours = python_json::parse(&bytes).unwrap();
                assert_eq!(unlike(&ours, &expected), None, "{}", path.display());
            }
        }
    }
}

fn runner() -> GoldenRunner {
    GoldenRunner::new(fixtures())
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn read_fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a copy of the file that holds one case only, with one output of that case altered.
fn check_altered(name: &str, folder: &str, field: &str) -> FileReport {
    let Value::Object(mut file) = python_json::parse(&read_fixture(&format!("{folder}/{name}.json"))).unwrap() else {
        panic!("{name} is not an object");
    };
    if let Some(Value::List(cases)) = file.get_mut("cases") {
        cases.retain(|case| !matches!(case.get(field), Some(Value::Null)));
        cases.truncate(1);
        let Some(Value::Object(case)) = cases.first_mut() else { panic!("no case of {name} records {field}") };
        alter(case.get_mut(field).unwrap());
    } else {
        alter(file.get_mut(field).unwrap());
    }
    let path = empty_folder(&format!("{name}-{field}")).join(format!("{name}.json"));
    std::fs::write(&path, Value::Object(file).canonical_text()).unwrap();
    runner().check_file(&path).unwrap()
}

/// Change one leaf, by little, so that the value keeps its shape.
fn alter(value: &mut Value) {
    match value {
        Value::Bool(b) => *b = !*b,
        Value::Int(i) => *i += 1,
        Value::Float(f) => *f += 0.25,
        Value::Text(text) => {
            let last = text.pop();
            text.push(if last == Some('0') { '1' } else { '0' });
        }
        Value::List(items) => alter(items.last_mut().unwrap()),
        Value::Object(entries) => alter(entries.values_mut().next_back().unwrap()),
        Value::Null | Value::BigInt(_) => panic!("nothing to alter in {value:?}"),
    }
}

/// Returns the first place where the readers differ by more than a few units in the last place of a float, as
/// `serde_json` may.
fn unlike(ours: &Value, expected: &serde_json::Value) -> Option<String> {
    let same = match (ours, expected) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Text(a), serde_json::Value::String(b)) => a == b,
        (Value::Int(a), serde_json::Value::Number(b)) => a.to_string() == b.to_string(),
        (Value::Float(a), serde_json::Value::Number(b)) => {
            b.is_f64() && b.as_f64().is_some_and(|b| a.to_bits().abs_diff(b.to_bits()) <= 4)
        }
        (Value::List(a), serde_json::Value::Array(b)) if a.len() == b.len() => {
            return a.iter().zip(b).find_map(|(a, b)| unlike(a, b));
        }
        (Value::Object(a), serde_json::Value::Object(b)) if a.keys().eq(b.keys()) => {
            return a.iter().find_map(|(key, a)| unlike(a, &b[key]));
        }
        _ => false,
    };
    if same { None } else { Some(format!("{ours:?} and {expected}")) }
}
