//! Worlds in which something forbidden happened once, each as small as it could be made.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use grail_sim::case::Case;
use grail_sim::run::simulate;
use grail_sim::synthetic::SyntheticModel;

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
    simulate(&case.config(Rc::new(SyntheticModel::default())), |_| {}).violations
}

#[test]
fn what_was_found_once_stays_repaired() {
    let cases = cases();
    assert!(cases.len() >= 11, "{} cases", cases.len());
    for path in cases {
        assert_eq!(violations(&path), Vec::<String>::new(), "grail sim --case {}", path.display());
    }
}

#[cfg(feature = "mutants")]
#[test]
fn each_case_fails_with_the_bug_that_it_was_found_for() {
    use grail_miner::mutants::{Mutant, plant};
    let bugs = [
        ("a-late-commitment-is-not-sent-again-and-again", Mutant::CommitsWithoutPause),
        ("a-commitment-that-another-tool-overwrote-is-made-again", Mutant::CommitmentReadOnce),
        ("two-stuck-groups-in-a-row-cost-no-window", Mutant::EstimateNeverDecays),
        ("bytes-altered-on-their-way-are-read-again", Mutant::CorruptReadIsFinal),
    ];
    for (name, mutant) in bugs {
        let path = cases().into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)).expect(name);
        plant(Some(mutant));
        let violations = violations(&path);
        plant(None);
        assert!(!violations.is_empty(), "{name} does not find {mutant:?}");
    }
}
