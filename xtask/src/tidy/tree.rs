//! The repository's files as tidy sees them: everything that git would not ignore.

use std::path::Path;

use anyhow::Context;
use ignore::WalkBuilder;

/// One file of the repository.
pub(super) struct TreeFile {
    /// Relative to the repository's root, with `/` between its parts.
    pub(super) path: String,
    /// The content, if it is text.
    pub(super) text: Option<String>,
}

impl TreeFile {
    /// The name without its folders.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The content of Rust source; nothing for other files.
    pub(super) fn rust(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.path.ends_with(".rs"))
    }
}

/// Every file below `root` that `.gitignore` does not exclude, in order of path.
///
/// The working tree is walked rather than git asked, so that new files are checked before they are added.
pub(super) fn read(root: &Path) -> anyhow::Result<Vec<TreeFile>> {
    let mut files = Vec::new();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            let path = entry.path();
            let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let parts: Vec<_> = path.strip_prefix(root)?.iter().map(|part| part.to_string_lossy()).collect();
            files.push(TreeFile { path: parts.join("/"), text: String::from_utf8(bytes).ok() });
        }
    }
    Ok(files)
}
