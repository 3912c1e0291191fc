//! The package alone and the whole workspace are built from the same third-party crates with the same features, so that
//! `cargo build --release`, the same with `--workspace`, and `cargo xtask` share every artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Finding, output_of};

const TREE: [&str; 7] = ["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{f}"];

/// Third-party packages, each with the sets of features that it is built with.
type Features = BTreeMap<String, BTreeSet<String>>;

pub(super) fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let of =
        |selection: &[&str]| Ok::<_, anyhow::Error>(features(&output_of(root, "cargo", &[&TREE, selection].concat())?));
    Ok(differences(&of(&["--package", "grail"])?, &of(&["--workspace"])?))
}

/// Returns what `cargo tree` lists; members have their folder in parentheses.
fn features(tree: &str) -> Features {
    let mut features = Features::new();
    for line in tree.lines() {
        let Some((package, set)) = line.split_once('|') else { continue };
        if !package.contains("(/") {
            let set = set.trim_end_matches(" (*)").to_owned();
            features.entry(package.to_owned()).or_default().insert(set);
        }
    }
    features
}

fn differences(package: &Features, workspace: &Features) -> Vec<Finding> {
    let differs = workspace.iter().filter(|(name, sets)| package.get(*name) != Some(sets));
    let finding = |(name, sets): (&String, &BTreeSet<String>)| {
        let none = BTreeSet::new();
        let alone = package.get(name).unwrap_or(&none);
        let what = match sets.symmetric_difference(alone).next() {
            Some(set) if package.contains_key(name) => format!("{name} is built with {set:?} in one of the two only"),
            _ => format!("{name} is built for the workspace only"),
        };
        Finding::new("Cargo.toml", 1, what, "give `grail` and the workspace the same features: both build it")
    };
    differs.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: &str = "grail v0.1.0 (/w)|\nserde v1.0.0|derive,std\nsyn v2.0.0 (proc-macro)|full\nserde v1.0.0|std\n";

    #[test]
    fn the_same_crates_in_any_order_are_no_finding() {
        let workspace =
            "xtask v0.1.0 (/w/xtask)|\nserde v1.0.0|std (*)\nserde v1.0.0|derive,std\nsyn v2.0.0 (proc-macro)|full";
        assert_eq!(differences(&features(ALONE), &features(workspace)), []);
    }

    #[test]
    fn a_feature_and_a_crate_that_only_the_workspace_has_are_found() {
        let workspace = ALONE.replace("full", "full,visit") + "ignore v0.4.0|\n";
        let findings = differences(&features(ALONE), &features(&workspace));
        assert_eq!(findings.len(), 2);
        assert!(findings[0].what.starts_with("ignore v0.4.0 "), "{findings:?}");
        assert!(findings[1].what.starts_with("syn v2.0.0 "), "{findings:?}");
    }
}
