//! `cargo xtask golden`: every vector file with how many of its cases agree.

use std::path::Path;

use grail::golden::{GoldenError, GoldenRunner};

/// Print the report; whether every case that could be compared agrees.
pub(crate) fn run(root: &Path, directory: Option<&Path>) -> Result<bool, GoldenError> {
    let runner = GoldenRunner::new(root.join("fixtures"));
    let report = match directory {
        Some(directory) => runner.check_directory(directory)?,
        None => runner.check_fixtures()?,
    };
    println!("{report}");
    Ok(report.is_clean())
}
