//! Worlds that once had a violation, each shrunk.

use std::fs;
use std::path::Path;

use grail_sim::case::Case;

use crate::worlds;

#[test]
fn earlier_findings_stay_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/cases");
    let files = fs::read_dir(folder).expect("the cases are there");
    let mut paths: Vec<_> = files.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    assert!(paths.len() >= 11, "{} cases", paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).expect("a readable case");
        let case: Case = serde_json::from_str(&text).expect("a case of the present format");
        assert_eq!(worlds::run(&case).violations, Vec::<String>::new(), "grail sim --case {}", path.display());
    }
}
