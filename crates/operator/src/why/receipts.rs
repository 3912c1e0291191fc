//! Receipts as the miner kept them.

use std::path::Path;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of `receipts.jsonl`; fields that an older miner did not write are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// First block of the window.
    pub window: u64,
    /// When it was over, in seconds since 1970.
    pub ended_at: f64,
    /// How it ended.
    pub outcome: String,
    /// Why it was not uploaded.
    pub why: Option<String>,
    /// Groups that were clean.
    pub groups_clean: u64,
    /// Groups in the confirmed file.
    pub groups_uploaded: u64,
    /// Rollouts in it.
    pub rollouts_uploaded: u64,
    /// Seconds between the confirmation and the window's end.
    pub slack_seconds: Option<f64>,
    /// sha256 of the file in hex.
    pub sha256: Option<String>,
    /// Whether the beacon entered the randomness.
    pub with_beacon: bool,
    /// Rollouts that the self-check rejected, by check and reason.
    pub self_check_rejections: BTreeMap<String, u64>,
    /// Attempts that the engine failed.
    pub engine_failures: u64,
    /// Rollouts of clean groups.
    #[serde(default)]
    pub rollouts_clean: Option<u64>,
    /// Those that solve their problem.
    #[serde(default)]
    pub rollouts_solved: Option<u64>,
    /// Their completion tokens.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// Seconds that the window was open.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Distinct solutions that a validator is expected to find.
    #[serde(default)]
    pub expected_score: Option<f64>,
}

/// Every receipt in a data folder, in the order in which they were given. A line that a crash cut is left out.
///
/// # Errors
/// Where there is no file of receipts.
pub fn receipts(data_folder: &Path) -> anyhow::Result<Vec<Receipt>> {
    let path = data_folder.join("receipts.jsonl");
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(anyhow!(
                "no receipts in {}; name the miner's data folder with --data-dir",
                data_folder.display()
            ));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
