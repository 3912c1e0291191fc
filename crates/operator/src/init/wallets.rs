//! Finding hotkeys on this machine.

use std::path::{Path, PathBuf};

/// A hotkey's file, by the names of its coldkey and its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) cold: String,
    pub(super) hot: String,
}

/// Returns every hotkey below a folder of wallets, by name; none is opened.
pub(super) fn scan(wallets: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for (cold, folder) in names(wallets) {
        for (hot, path) in names(&folder.join("hotkeys")) {
            if path.is_file() && !hot.ends_with("pub.txt") {
                found.push(Found { cold: cold.clone(), hot });
            }
        }
    }
    found.sort();
    found
}

/// Returns the entries of a folder that are not hidden; none if it cannot be read.
fn names(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with('.'))
}

/// Returns a path with `~` at its beginning replaced by the home folder.
pub(super) fn expanded(path: &str) -> PathBuf {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hotkeys_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["b/hotkeys/two", "a/hotkeys/one", "a/hotkeys/onepub.txt", "a/hotkeys/.part", "a/coldkey", "file"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |found: Vec<Found>| found.into_iter().map(|f| format!("{}/{}", f.cold, f.hot)).collect::<Vec<_>>();
        assert_eq!(names(scan(folder.path())), ["a/one", "b/two"]);
        assert_eq!(scan(&folder.path().join("absent")), []);
    }
}
