//! The repository's files as tidy sees them: everything that git would not ignore.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

/// One file of the repository.
pub(super) struct TreeFile {
    /// Relative to the repository's root, with `/` between its parts.
    pub(super) path: String,
    /// The content, if it is text.
    pub(super) text: Option<String>,
}

impl TreeFile {
    /// Returns the name without its folders.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the content of Rust source; nothing for other files.
    pub(super) fn rust(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.path.ends_with(".rs"))
    }
}

/// Returns every file below `root` that `.gitignore` does not exclude, in order of path: new ones before they are
/// added, too.
pub(super) fn read(root: &Path) -> anyhow::Result<Vec<TreeFile>> {
    let listing = ["ls-files", "-z", "--cached", "--others", "--exclude-per-directory=.gitignore"];
    let listed = super::output_of(root, "git", &listing)?;
    let names: BTreeSet<&str> = listed.split_terminator('\0').collect();
    let mut files = Vec::new();
    for name in names {
        let path = root.join(name);
        // Files that are deleted are listed until they are removed from the index.
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            files.push(TreeFile { path: name.to_owned(), text: String::from_utf8(bytes).ok() });
        }
    }
    files.sort_by(|one, other| Path::new(&one.path).cmp(Path::new(&other.path)));
    Ok(files)
}
