//! Result of a run of golden vectors.

use std::fmt;

/// How many misses of one file a report keeps.
pub(super) const MISSES_KEPT: usize = 5;

/// Results of all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenReport {
    /// One report per file, in the order they were run.
    pub files: Vec<FileReport>,
}

/// Result of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The file's name without its ending.
    pub name: String,
    /// Cases that agree in every field.
    pub passed: usize,
    /// Cases that were compared.
    pub total: usize,
    /// The first few disagreements.
    pub misses: Vec<Miss>,
    /// The thing that this machine lacks to compare the file; then nothing is counted.
    pub needs: Option<String>,
}

/// One field of one case that disagrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The case's number from 0, and its name if it has one.
    pub case: String,
    /// The field, with the path to the first difference inside it.
    pub field: String,
    /// The value in the vector.
    pub expected: String,
    /// The value that this code computes.
    pub got: String,
}

impl GoldenReport {
    /// Returns cases that agree, over all files.
    pub fn passed(&self) -> usize {
        self.files.iter().map(|file| file.passed).sum()
    }

    /// Returns cases that were compared, over all files.
    pub fn total(&self) -> usize {
        self.files.iter().map(|file| file.total).sum()
    }

    /// Returns whether every case that was compared agrees.
    pub fn is_clean(&self) -> bool {
        self.passed() == self.total()
    }
}

impl FileReport {
    /// Creates a file that cannot be compared on this machine.
    pub(super) fn not_comparable(name: &str, needs: impl Into<String>) -> Self {
        Self { name: name.to_owned(), needs: Some(needs.into()), ..Self::default() }
    }
}

impl fmt::Display for GoldenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "{file}")?;
        }
        write!(f, "total: {}/{}", self.passed(), self.total())
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}/{}", self.name, self.passed, self.total)?;
        if let Some(needs) = &self.needs {
            write!(f, " (not comparable here, needs {needs})")?;
        }
        for Miss { case, field, expected, got } in &self.misses {
            write!(f, "\n  case {case}, {field}: expected {expected}, got {got}")?;
        }
        if self.misses.len() >= MISSES_KEPT {
            write!(f, "\n  …")?;
        }
        Ok(())
    }
}
