//! The miner's recorded receipts.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use grail_folder as folder;
use grail_journal::hotkeys;
use grail_observe::INTERRUPTED;
use grail_protocol::constants::window_start;
use grail_terminal::counted;

/// One line of `receipts.jsonl`; fields that an older miner did not write are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Address of the hotkey.
    pub hotkey: Option<String>,
    /// Name of the network.
    pub network: Option<String>,
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
    /// The address from which the file was read back, as validators build it.
    pub address: Option<String>,
    /// Whether the beacon entered the randomness.
    pub with_beacon: bool,
    /// Rollouts that the self-check rejected, by check and reason.
    pub self_check_rejections: BTreeMap<String, u64>,
    /// Attempts that the engine failed.
    pub engine_failures: u64,
    /// Rollouts of clean groups.
    pub rollouts_clean: Option<u64>,
    /// Those that solve their problem.
    pub rollouts_solved: Option<u64>,
    /// Their completion tokens.
    pub tokens: Option<u64>,
    /// Seconds that the window was open.
    pub seconds: Option<f64>,
    /// Distinct solutions that a validator is expected to find.
    pub expected_score: Option<f64>,
}

/// Returns every receipt in a data folder, in the order in which they were given. It leaves out lines that a crash cut,
/// and the first receipt of an interrupted window that continued and has another one.
///
/// # Errors
/// If there is no file of receipts.
pub fn receipts(data_folder: &Path) -> anyhow::Result<Vec<Receipt>> {
    let path = data_folder.join("receipts.jsonl");
    let text = match folder::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("no receipts in {}; name the miner's data folder with --data-dir", data_folder.display());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut receipts: Vec<Receipt> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last: BTreeMap<u64, usize> = receipts.iter().enumerate().map(|(at, receipt)| (receipt.window, at)).collect();
    let mut places = 0..;
    receipts.retain(|receipt| {
        let at = places.next();
        receipt.outcome != INTERRUPTED || at == last.get(&receipt.window).copied()
    });
    Ok(receipts)
}

/// The window that is explained, with a word on why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenWindow {
    /// Its first block.
    pub window: u64,
    /// The whole address of the hotkey; none if nothing in the data folder names one.
    pub hotkey: Option<String>,
    /// Why this one; none if it was named by its first block.
    pub note: Option<String>,
}

/// Returns the window that `block` is in; without a block, the last one of `hotkey` that was not uploaded. `hotkey` may be
/// the beginning of an address.
///
/// # Errors
/// If miners of several hotkeys match, no window is over yet, or the receipts cannot be read.
pub fn chosen_window(block: Option<u64>, hotkey: Option<&str>, data_folder: &Path) -> anyhow::Result<ChosenWindow> {
    let hotkey = hotkey_in(data_folder, hotkey)?;
    if let Some(block) = block {
        let window = window_start(block);
        let note = (window != block).then(|| format!("block {block} is in window {window}"));
        return Ok(ChosenWindow { window, hotkey, note });
    }
    let receipts = of_hotkey(receipts(data_folder)?, hotkey.as_deref());
    let Some(newest) = receipts.last().map(|receipt| receipt.window) else {
        bail!("no window is over yet; name one by its first block");
    };
    let (window, note) = match receipts.iter().rfind(|receipt| receipt.outcome != "uploaded") {
        Some(receipt) => {
            let after = receipts.iter().filter(|other| other.window > receipt.window).count();
            let since = match after {
                0 => "the newest".to_owned(),
                _ => format!("{} uploaded since", counted(after, "window")),
            };
            (receipt.window, format!("window {} is the last that was not uploaded; {since}", receipt.window))
        }
        None => (newest, format!("every window was uploaded; this is the newest, {newest}")),
    };
    Ok(ChosenWindow { window, hotkey, note: Some(note) })
}

/// Returns the receipts of one hotkey. Older receipts lack the hotkey, and are kept.
pub fn of_hotkey(mut receipts: Vec<Receipt>, hotkey: Option<&str>) -> Vec<Receipt> {
    receipts.retain(|receipt| receipt.hotkey.as_deref().zip(hotkey).is_none_or(|(its, wanted)| its == wanted));
    receipts
}

/// Returns the hotkey whose address starts with the given text, or the only one with receipts or a journal in the folder.
///
/// # Errors
/// If several hotkeys match.
pub fn hotkey_in(data_folder: &Path, named: Option<&str>) -> anyhow::Result<Option<String>> {
    let receipts = receipts(data_folder).unwrap_or_default().into_iter();
    let mut fitting: Vec<String> = receipts.filter_map(|receipt| receipt.hotkey).chain(hotkeys(data_folder)).collect();
    fitting.retain(|known| named.is_none_or(|named| known.starts_with(named)));
    fitting.sort_unstable();
    fitting.dedup();
    match fitting.as_slice() {
        [only] => Ok(Some(only.clone())),
        [] => Ok(named.map(str::to_owned)),
        several => {
            bail!("{} hotkeys have mined here; name one with --hotkey: {}", several.len(), several.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_window_that_went_on_has_its_last_receipt_alone() {
        let line = |window: u64, outcome: &str| {
            format!(
                r#"{{"window":{window},"ended_at":1.0,"outcome":"{outcome}","why":null,"groups_clean":1,"groups_uploaded":0,"rollouts_uploaded":0,"slack_seconds":null,"sha256":null,"with_beacon":true,"self_check_rejections":{{}},"engine_failures":0}}"#
            )
        };
        let lines = [
            line(30, "interrupted"),
            line(30, "interrupted"),
            line(30, "uploaded"),
            line(60, "lost"),
            line(90, "interrupted"),
        ];
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("receipts.jsonl"), lines.join("\n") + "\n{\"window\":12").unwrap();
        let read: Vec<(u64, String)> =
            receipts(folder.path()).unwrap().into_iter().map(|receipt| (receipt.window, receipt.outcome)).collect();
        let expected = [(30, "uploaded"), (60, "lost"), (90, "interrupted")];
        assert_eq!(read, expected.map(|(window, outcome)| (window, outcome.to_owned())));
    }
}
