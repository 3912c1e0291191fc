//! Findings of the validators of this data folder: JSON lines, read for one window, or drawn as a page.

mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grail_folder as folder;
use grail_observe::Pages;
use grail_observe::contract::Schema;
use grail_terminal::{output, printable};
use grail_validator::{MinerReceipt, Report, WeightsReport};
use serde_json::Value;

use crate::plots::escaped;
pub use render::{entry, lines, outcome_line};

/// The file in the data folder.
pub const FILE: &str = "verdicts.jsonl";
/// A file that is larger is moved aside when a validator starts.
const FILE_BYTES_MAX: usize = 256 << 20;

/// The file, opened to append.
pub struct VerdictLog(File);

impl VerdictLog {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(data_folder: &Path) -> io::Result<Self> {
        let path = data_folder.join(FILE);
        if std::fs::metadata(&path).is_ok_and(|data| data.len() > (FILE_BYTES_MAX / 2) as u64) {
            std::fs::rename(&path, data_folder.join(format!("{FILE}.1")))?;
        }
        Ok(Self(folder::open(&path, folder::options().append(true).create(true))?))
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, entry: &Value) -> io::Result<()> {
        self.0.write_all(format!("{entry}\n").as_bytes())
    }
}

/// Shows a report, and records it for `grail why` and `grail report`.
pub fn tell(report: &Report, json: bool, verdicts: &mut VerdictLog) {
    if let Report::Trouble(text) = report {
        tracing::warn!("{}", printable(text));
    }
    let Some(entry) = entry(report) else { return };
    let entry = Schema::ValidatorReceipt.stamp(entry);
    if let Err(error) = verdicts.append(&entry) {
        tracing::warn!("receipts cannot be written ({error}); free the disk");
    }
    if json {
        output::line(entry);
        return;
    }
    for line in lines(report) {
        output::line(line);
    }
}

/// Returns the pages next to a validator's metrics: the verdicts in a data folder.
pub fn pages(data_folder: PathBuf) -> Pages {
    Arc::new(move |path| {
        let verdicts = (path == "/").then(|| Verdicts::read(&data_folder).ok()).flatten();
        verdicts.map(|verdicts| verdicts.page())
    })
}

/// Content of a data folder's lines.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// By window and miner; of several the newest.
    pub receipts: BTreeMap<(u64, String), MinerReceipt>,
    /// The share of each miner after each window.
    pub weights: BTreeMap<(u64, String), f64>,
    /// Outcomes of setting weights, in order.
    pub set: Vec<WeightsReport>,
}

impl Verdicts {
    /// Reads the file and skips malformed lines, since a crash may have cut the last one.
    ///
    /// # Errors
    /// If the file cannot be read. A missing file counts as empty.
    pub fn read(data_folder: &Path) -> io::Result<Self> {
        match folder::read_at_most(&data_folder.join(FILE), FILE_BYTES_MAX) {
            Ok(content) => Ok(Self::of(&String::from_utf8_lossy(&content))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn of(text: &str) -> Self {
        let mut verdicts = Self::default();
        for entry in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            verdicts.add(entry);
        }
        verdicts
    }

    fn add(&mut self, mut entry: Value) -> Option<()> {
        match entry["kind"].as_str()? {
            "miner" => {
                let receipt: MinerReceipt = serde_json::from_value(entry["receipt"].take()).ok()?;
                self.receipts.insert((receipt.window_start, receipt.hotkey.clone()), receipt);
            }
            "window" => {
                let window = entry["window_start"].as_u64()?;
                let weights: Vec<(u16, String, f64)> = serde_json::from_value(entry["weights"].take()).ok()?;
                self.weights.extend(weights.into_iter().map(|(_, hotkey, share)| ((window, hotkey), share)));
            }
            "weights" => self.set.extend(serde_json::from_value::<WeightsReport>(entry["weights"].take()).ok()),
            _ => {}
        }
        Some(())
    }

    /// Returns the finding about a window of the miner whose address starts with this.
    pub fn of_miner(&self, window: u64, hotkey: &str) -> Option<&MinerReceipt> {
        let mut of_window = self.receipts.range((window, String::new())..(window + 1, String::new()));
        of_window.find(|((_, name), _)| name.starts_with(hotkey)).map(|(_, receipt)| receipt)
    }

    /// Returns what was found in a window, a line for each miner.
    pub fn story(&self, window: u64) -> Vec<String> {
        let of_window = self.receipts.range((window, String::new())..(window + 1, String::new()));
        of_window.flat_map(|(_, receipt)| lines(&Report::Miner(Box::new(receipt.clone())))).collect()
    }

    /// Returns a page: miners by windows as a matrix of verdicts, with the weight after each window.
    pub fn page(&self) -> String {
        let windows: BTreeSet<u64> = self.receipts.keys().map(|(window, _)| *window).collect();
        let miners: BTreeMap<&str, u16> =
            self.receipts.values().map(|receipt| (receipt.hotkey.as_str(), receipt.uid)).collect();
        let heads: String = windows.iter().map(|window| format!("<th>{window}</th>")).collect();
        let rows: String = miners.iter().map(|(hotkey, uid)| self.row(hotkey, *uid, &windows)).collect();
        let set: String =
            self.set.iter().map(|report| format!("<li>{}</li>", escaped(&weights_line(report)))).collect();
        format!(
            "{HEAD}<tr><th>uid</th><th>hotkey</th>{heads}</tr>{rows}</table><h2>Weights</h2><ul>{set}</ul></body></html>\n"
        )
    }

    fn row(&self, hotkey: &str, uid: u16, windows: &BTreeSet<u64>) -> String {
        let cells: String = windows.iter().map(|window| self.cell(*window, hotkey)).collect();
        format!("<tr><td>{uid}</td><td><code>{}</code></td>{cells}</tr>", escaped(hotkey))
    }

    fn cell(&self, window: u64, hotkey: &str) -> String {
        let place = (window, hotkey.to_owned());
        let Some(receipt) = self.receipts.get(&place) else { return "<td></td>".to_owned() };
        let names = [receipt.check.map(|check| check.name()), receipt.reason.map(|reason| reason.name())];
        let mut title: Vec<&str> = names.into_iter().flatten().collect();
        title.extend(receipt.why.as_deref());
        title.extend(receipt.remedy.as_deref());
        let share = self.weights.get(&place).map_or_else(String::new, |share| format!("<br>{share:.4}"));
        let (class, title) = (receipt.outcome.name(), escaped(&title.join("; ")));
        format!("<td class=\"{class}\" title=\"{title}\">{}{share}</td>", class.replace('_', " "))
    }
}

fn weights_line(report: &WeightsReport) -> String {
    match report {
        WeightsReport::Set { window_start, block, weights } => {
            format!("after window {window_start}: {} weights set in block {block}", weights.len())
        }
        WeightsReport::NotSet { window_start, why } => format!("after window {window_start}: not set; {why}"),
    }
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Verdicts</title><style>\
    body{font:14px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em}\
    .accepted{background:#cfc}.rejected{background:#fbb}.not_judged,.unreachable{background:#ffd}</style></head><body>\
    <h1>Verdicts</h1><table>";

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"kind":"miner","receipt":{"window_start":30,"hotkey":"5A<b>","uid":1,"outcome":"rejected","check":"proof_valid","#,
        r#""reason":"sketch_mismatch","rollout":3,"why":null,"remedy":"prove \"well\"","metrics":{"valid":0,"checked":0,"#,
        r#""total":0,"estimated_valid":0,"successful":0,"unique":0},"rollouts":20,"bytes":5,"late_ms":null}}"#,
        "\n",
        r#"{"kind":"window","window_start":30,"weights":[[0,"5O",1.0],[1,"5A<b>",0.0]]}"#,
        "\n",
        r#"{"kind":"weights","weights":{"outcome":"not_set","window_start":30,"why":"a & b"}}"#,
        "\n{\"kind\":\"miner\",\"rec"
    );

    #[test]
    fn lines_are_read_and_found_again_also_where_the_last_was_cut() {
        let verdicts = Verdicts::of(LINES);
        let receipt = verdicts.of_miner(30, "5A").unwrap();
        assert_eq!((receipt.uid, receipt.rollout), (1, Some(3)));
        assert!(verdicts.of_miner(60, "5A").is_none() && verdicts.of_miner(30, "5B").is_none());
        assert_eq!((verdicts.weights.len(), verdicts.set.len()), (2, 1));
    }

    #[test]
    fn nothing_of_a_receipt_becomes_markup() {
        let page = Verdicts::of(LINES).page();
        assert!(page.contains("5A&lt;b&gt;") && page.contains("prove &quot;well&quot;") && page.contains("a &amp; b"));
        assert!(page.contains("class=\"rejected\"") && !page.contains("<b>"));
    }
}
