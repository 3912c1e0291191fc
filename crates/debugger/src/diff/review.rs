//! File of accepted and rejected differences.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use grail_folder::bounded;
use grail_terminal::{ExitError, OutFile};

/// Longest file of rulings.
const BYTES_MAX: usize = 64 << 20;

/// A person's decision about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It is intended.
    Accepted,
    /// Rejected: it is a mistake.
    Rejected,
}

/// Rulings by difference.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Review(BTreeMap<String, Ruling>);

impl Review {
    /// Reads the file; none is empty.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match bounded::read(path, BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => {
                let unusable = || format!("cannot use {}; remove it to review everything again", path.display());
                serde_json::from_slice(&read.with_context(unusable)?).with_context(unusable)
            }
        }
    }

    /// Returns the ruling about a difference.
    pub fn ruling(&self, key: &str) -> Option<Ruling> {
        self.0.get(key).copied()
    }

    /// Records a ruling about a difference.
    pub fn rule(&mut self, key: String, ruling: Ruling) {
        self.0.insert(key, ruling);
    }

    /// Writes the file, if there is a ruling.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ExitError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self).expect("plain data has an encoding") + "\n";
        OutFile::open(path, "--review")?.write(text.as_bytes())
    }
}
