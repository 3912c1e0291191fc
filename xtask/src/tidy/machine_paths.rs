//! No path that exists on a developer's machine only.

use super::Finding;
use super::tree::TreeFile;

/// Folders in which people and build machines keep their checkouts; in pieces, so that this file does not find itself.
const FOLDERS: [&str; 3] = [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/")];
/// Recorded data, and what cargo writes.
const EXEMPT: [&str; 2] = [".json", ".lock"];

pub(super) fn findings(file: &TreeFile) -> Vec<Finding> {
    let text = file.text.as_deref().filter(|_| !EXEMPT.iter().any(|ending| file.path.ends_with(ending)));
    let lines = text.unwrap_or_default().lines().enumerate();
    let found = lines.filter_map(|(i, line)| Some((i + 1, FOLDERS.iter().find(|folder| holds(line, folder))?)));
    let finding = |(line, folder)| {
        let what = format!("a path of one machine, under {folder}");
        Finding::new(&file.path, line, what, "write it relative to the repository or to the user's folders")
    };
    found.map(finding).collect()
}

/// Returns whether `folder` starts a path in `line`, rather than continuing with one.
fn holds(line: &str, folder: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "_.-~".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        findings(&TreeFile { path: path.to_owned(), text: Some(text.to_owned()) }).len()
    }

    #[test]
    fn absolute_paths_are_found() {
        for folder in FOLDERS {
            assert_eq!(found("README.md", &format!("see\n{folder}grail")), 1);
            assert_eq!(found("src/main.rs", &format!("//! x\nlet p = \"{folder}x\";")), 1);
        }
    }

    #[test]
    fn relative_paths_and_recorded_data_are_not() {
        for folder in FOLDERS {
            assert_eq!(found("README.md", &format!("https://example.org{folder}x and ./a{folder} and ~{folder}")), 0);
            assert_eq!(found("fixtures/tape.json", folder), 0);
            assert_eq!(found("Cargo.lock", folder), 0);
        }
        assert!(findings(&TreeFile { path: "model.zst".into(), text: None }).is_empty());
    }
}
