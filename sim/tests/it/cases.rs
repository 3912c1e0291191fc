//! Worlds that once had a violation, each shrunk.

use std::fs;
use std::path::{Path, PathBuf};

use grail_sim::case::Case;

use crate::worlds;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/cases");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases are there")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    paths
}

fn violations(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a readable case");
    let case: Case = serde_json::from_str(&text).expect("a case of the present format");
    worlds::run(&case).violations
}

#[test]
fn earlier_findings_stay_fixed() {
    let cases = cases();
    assert!(cases.len() >= 11, "{} cases", cases.len());
    for path in cases {
        assert_eq!(violations(&path), Vec::<String>::new(), "grail sim --case {}", path.display());
    }
}
