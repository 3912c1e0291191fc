//! Rules for documents: fixtures are all named with their provenance, and links and paths lead somewhere.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::TreeFile;

const FIXTURES: &str = "fixtures/";
const FIXTURES_README: &str = "fixtures/README.md";

pub(super) fn findings(files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = unnamed_fixtures(files);
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        findings.extend(broken_links(file, files));
        findings.extend(broken_paths(file, files));
    }
    findings
}

/// Files and folders directly under `fixtures` and one level below that its README does not name.
fn unnamed_fixtures(files: &[TreeFile]) -> Vec<Finding> {
    let readme = files.iter().find(|file| file.path == FIXTURES_README).and_then(|file| file.text.as_deref());
    let mut entries = BTreeSet::new();
    for rest in files.iter().filter_map(|file| file.path.strip_prefix(FIXTURES)) {
        entries.extend(rest.split('/').take(2).filter(|name| *name != "README.md"));
    }
    let unnamed = entries.into_iter().filter(|name| !readme.is_some_and(|text| names(text, name)));
    let finding = |name| {
        let what = format!("the fixture {name} is not named");
        Finding::new(FIXTURES_README, 1, what, "say what it is and where it comes from")
    };
    unnamed.map(finding).collect()
}

/// Returns whether `text` holds `name` as a whole, not as a part of a longer one.
fn names(text: &str, name: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "_-".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let longer =
            after.starts_with(goes_on) || after.strip_prefix('.').is_some_and(|rest| rest.starts_with(goes_on));
        !before.ends_with(goes_on) && !longer
    })
}

fn broken_links(file: &TreeFile, files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
        for target in link_targets(line).filter(|target| !exists(&resolve(&file.path, target), files)) {
            let what = format!("the link to {target} leads nowhere");
            findings.push(Finding::new(&file.path, i + 1, what, "fix the path or take the link out"));
        }
    }
    findings
}

/// Paths between backticks that start with a folder of the root.
fn broken_paths(file: &TreeFile, files: &[TreeFile]) -> Vec<Finding> {
    let folders: BTreeSet<&str> = files.iter().filter_map(|file| Some(file.path.split_once('/')?.0)).collect();
    let is_path = |text: &str| {
        let of_paths = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        text.chars().all(of_paths) && text.split_once('/').is_some_and(|(first, _)| folders.contains(first))
    };
    let mut findings = Vec::new();
    let mut is_output = false;
    for (i, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
        is_output ^= line.starts_with("```");
        let quoted = line.split('`').skip(1).step_by(2).filter(|text| !is_output && is_path(text));
        for path in quoted.filter(|path| !exists(path.trim_end_matches('/'), files)) {
            let what = format!("there is no {path}");
            findings.push(Finding::new(&file.path, i + 1, what, "fix the path or take it out"));
        }
    }
    findings
}

/// Returns the relative targets of a line's Markdown links, without their anchors.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
}

/// Returns a link's target as a path from the root.
fn resolve(from: &str, target: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let base = if target.starts_with('/') { "" } else { folder };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            // A link that leaves the repository resolves to something that no file is called.
            ".." if parts.pop().is_none() => parts.push(".."),
            ".." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn exists(path: &str, files: &[TreeFile]) -> bool {
    let is_folder = |file: &TreeFile| file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    path.is_empty() || files.iter().any(|file| file.path == path || is_folder(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<TreeFile> {
        let file = |(path, text): &(&str, &str)| TreeFile { path: (*path).into(), text: Some((*text).into()) };
        files.iter().map(file).collect()
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        findings(&tree(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fixture_must_be_named() {
        let files = [
            ("fixtures/README.md", "`golden/`: `prf.json`, my_sat.json and model-64.json"),
            ("fixtures/golden/prf.json", ""),
            ("fixtures/golden/sat.json", ""),
            ("fixtures/golden/README.md", ""),
            ("fixtures/golden/deep/ignored.json", ""),
            ("fixtures/model/x.bin", ""),
        ];
        let findings = found(&files);
        for name in ["sat.json", "deep", "model", "x.bin"] {
            assert!(findings.iter().any(|finding| finding.contains(&format!("fixture {name} is"))), "{findings:?}");
        }
        assert_eq!(findings.len(), 4, "{findings:?}");
        assert_eq!(found(&[("fixtures/a.json", "")]).len(), 1, "a missing README names nothing");
    }

    #[test]
    fn links_must_lead_somewhere() {
        let text = "[a](docs/a.md#part) [b](docs) [c](https://x.org/y) [d](#here)\n![e](gone.png) [f](../out.md)";
        let files =
            [("README.md", text), ("docs/a.md", "[up](../README.md) [side](./b.md)"), ("notes.md", "[x](nowhere)")];
        let expected = [
            "README.md:2: the link to gone.png",
            "README.md:2: the link to ../out.md",
            "docs/a.md:1: the link to ./b.md",
            "notes.md:1: the link to nowhere",
        ];
        let findings = found(&files);
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.starts_with(expected), "{finding}");
        }
    }
    #[test]
    fn paths_from_the_root_must_exist_and_others_are_not_looked_for() {
        let text = "`src/a.rs`, `src/`, `src/gone.rs`, `a.rs`, `src/*.rs`, `data/x`\n```\n`src/printed`\n```\n`src/b`";
        let files = [("notes.md", text), ("src/a.rs", "")];
        assert_eq!(found(&files).len(), 2, "{:?}", found(&files));
        assert!(found(&files)[0].starts_with("notes.md:1: there is no src/gone.rs"));
        assert!(found(&files)[1].starts_with("notes.md:5: there is no src/b"));
    }
}
