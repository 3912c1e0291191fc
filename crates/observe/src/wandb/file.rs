//! A run that stays on this machine: a `.wandb` file, which `wandb sync` sends.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::{Map, Value};

use super::framing::RecordWriter;
use super::records::{
    Exit, Header, History, Item, Items, Kind, Metric, MetricOptions, Record, Step, Time, VersionInfo,
};
use super::run::{Run, plotted};
use crate::metrics::row::{BLOCK, Row, TIMESTAMP, WINDOW};

/// The oldest client that can read the file, in its own words.
const MIN_CONSUMER: &str = "0.70.0";
/// Rows beyond this are dropped; a window takes two KB.
const BYTES_MAX: u64 = 256 << 20;

/// A `.wandb` file that is being written.
pub(super) struct RunFile {
    writer: RecordWriter<File>,
    pub(super) path: PathBuf,
    records: i64,
    rows: i64,
    defined: BTreeSet<String>,
    begun_ms: u64,
}

impl RunFile {
    /// Starts `wandb/offline-run-<time>-<id>/run-<id>.wandb` in a folder.
    pub(super) fn begin(folder: &Path, run: &Run) -> io::Result<Self> {
        let name = format!("offline-run-{}-{}", stamp(run.begun_ms), run.id);
        let runs = folder.join("wandb");
        grail_folder::claim_no_link(&runs).map_err(io::Error::other)?;
        let folder = runs.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(format!("run-{}.wandb", run.id));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        let writer = RecordWriter::begin(file)?;
        let begun_ms = run.begun_ms;
        let mut file = Self { writer, path, records: 0, rows: 0, defined: BTreeSet::new(), begun_ms };
        let producer = format!("grail-{}", env!("CARGO_PKG_VERSION"));
        let version_info = Some(VersionInfo { producer, min_consumer: MIN_CONSUMER.to_owned() });
        file.append(Kind::Header(Header { version_info }))?;
        let config = run.config.iter().map(|(name, value)| item(name, value)).collect();
        file.append(Kind::Run(super::records::Run {
            run_id: run.id.clone(),
            entity: run.entity.clone().unwrap_or_default(),
            project: run.project.clone(),
            config: Some(Items { update: config }),
            display_name: run.name.clone().unwrap_or_default(),
            notes: run.notes.clone().unwrap_or_default(),
            tags: run.tags.clone(),
            start_time: Some(Time {
                seconds: (run.begun_ms / 1000) as i64,
                nanoseconds: (run.begun_ms % 1000) as i32 * 1_000_000,
            }),
        }))?;
        for axis in [BLOCK, WINDOW] {
            file.define(axis, "")?;
        }
        Ok(file)
    }

    /// Appends a row, and its values as the run's newest.
    pub(super) fn append_row(&mut self, row: &Row) -> io::Result<()> {
        if self.writer.written > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file has its full size"));
        }
        for name in plotted(row.0.keys()) {
            if self.defined.insert(name.clone()) {
                self.define(name, BLOCK)?;
            }
        }
        let row = numbered(row, self.rows, self.begun_ms);
        let items: Vec<Item> = row.iter().map(|(name, value)| item(name, value)).collect();
        let step = Some(Step { number: self.rows });
        self.append(Kind::History(History { item: items.clone(), step }))?;
        self.rows += 1;
        self.append(Kind::Summary(Items { update: items }))
    }

    /// Records the end of the run.
    pub(super) fn end(&mut self, now_ms: u64) -> io::Result<()> {
        let runtime = i32::try_from(now_ms.saturating_sub(self.begun_ms) / 1000).unwrap_or(i32::MAX);
        self.append(Kind::Exit(Exit { exit_code: 0, runtime }))
    }

    fn define(&mut self, name: &str, step_metric: &str) -> io::Result<()> {
        let options = Some(MetricOptions { step_sync: !step_metric.is_empty(), defined: true });
        self.append(Kind::Metric(Metric { name: name.to_owned(), step_metric: step_metric.to_owned(), options }))
    }

    fn append(&mut self, kind: Kind) -> io::Result<()> {
        let record = Record { number: self.records + 1, kind: Some(kind) };
        if let Err(error) = self.writer.append(&record.encode_to_vec()) {
            // A part that was written before the disk was full would become garbage in the middle of the file.
            self.writer.inner.set_len(self.writer.written)?;
            return Err(error);
        }
        self.records += 1;
        Ok(())
    }
}

/// Returns a row with its number and the run's age, which the service wants in each.
pub(super) fn numbered(row: &Row, step: i64, begun_ms: u64) -> Map<String, Value> {
    let mut numbered = row.0.clone();
    let timestamp = row.0.get(TIMESTAMP).and_then(Value::as_f64).unwrap_or_default();
    numbered.insert("_runtime".to_owned(), Value::from((timestamp - begun_ms as f64 / 1000.0).max(0.0)));
    numbered.insert("_step".to_owned(), Value::from(step));
    numbered
}

fn item(name: &str, value: &Value) -> Item {
    Item { key: name.to_owned(), value_json: value.to_string() }
}

/// Returns a time as `20250813_124246`, in UTC.
fn stamp(ms: u64) -> String {
    let time = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms));
    // `Wed, 13 Aug 2025 12:42:46 GMT`: day, month and year are at fixed places.
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| *month == &time[8..11]).map_or(0, |at| at + 1);
    format!("{}{month:02}{}_{}", &time[12..16], &time[5..7], time[17..25].replace(':', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_date_and_time_in_utc() {
        assert_eq!(stamp(1_755_088_966_123), "20250813_124246");
        assert_eq!(stamp(0), "19700101_000000");
    }
}
