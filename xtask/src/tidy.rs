//! `cargo xtask tidy`: what the compiler and clippy cannot check about layout and style.

mod documents;
mod edges;
mod features;
mod limits;
mod machine_paths;
mod messages;
mod sources;
mod tree;
mod words;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use grail_terminal::output;
use tree::TreeFile;

/// A finding: place, problem and remedy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    remedy: &'static str,
}

/// Prints the findings; whether there are none.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let files = tree::read(root)?;
    let mut findings = findings_in(&files);
    findings.extend(edges::findings(root)?);
    findings.extend(features::findings(root)?);
    findings.sort();
    for finding in &findings {
        output::line(finding);
    }
    output::line(format_args!("tidy: {} files, {} findings", files.len(), findings.len()));
    Ok(findings.is_empty())
}

fn findings_in(files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = documents::findings(files);
    findings.extend(messages::findings(files));
    findings.extend(limits::findings(files));
    for file in files {
        findings.extend(sources::findings(file));
        findings.extend(machine_paths::findings(file));
        findings.extend(words::findings(file));
    }
    findings
}

/// Runs a program in `root`. Returns its output.
fn output_of(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.with_context(|| format!("{program} cannot be run; install it"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program} {}` fails: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, remedy } = self;
        write!(f, "{path}:{line}: {what}: {remedy}")
    }
}
