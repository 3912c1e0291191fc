//! Rows that the service has not acknowledged: a bounded file for each run, so that neither an outage nor a crash loses them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::run::Run;
use crate::metrics::row::{Row, TIMESTAMP};
use grail_folder as folder;

/// The rows of one run that wait, oldest first.
pub(super) struct Spool {
    pub(super) run: Run,
    path: PathBuf,
    file: File,
    /// Length of the first line, which describes the run.
    head: u64,
    /// On disk.
    pub(super) bytes: u64,
    pub(super) waiting: VecDeque<Waiting>,
}

/// A row that waits.
pub(super) struct Waiting {
    pub(super) row: Row,
    /// Whether the service may have it without an acknowledgment: an attempt had no answer, or another process made it.
    pub(super) may_be_there: bool,
}

impl Waiting {
    /// When the row was made, in seconds since 1970, which identifies the row within its run.
    pub(super) fn timestamp(&self) -> f64 {
        self.row.0.get(TIMESTAMP).and_then(Value::as_f64).unwrap_or_default()
    }
}

impl Spool {
    /// Returns the spool of a run, and those that other runs of this folder left behind, oldest first.
    ///
    /// # Errors
    /// The operating system's error if the folder or the run's file cannot be used. An unreadable file of another run
    /// stays where it is.
    pub(super) fn open(spools: &Path, run: Run) -> io::Result<(Self, Vec<Self>)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(spools)?;
        let own = spools.join(format!("{}.jsonl", run.id));
        let mut others: Vec<Self> = fs::read_dir(spools)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| *path != own && path.extension().is_some_and(|extension| extension == "jsonl"))
            .filter_map(|path| Self::read(path).ok())
            .collect();
        others.sort_by_key(|spool| spool.run.begun_ms);
        let mut spool = match Self::read(own.clone()) {
            Ok(left) => Self { run, ..left },
            Err(_) => Self::begin(own, run)?,
        };
        // The run's description may have changed.
        spool.rewrite()?;
        Ok((spool, others))
    }

    fn begin(path: PathBuf, run: Run) -> io::Result<Self> {
        let file = folder::open(&path, folder::options().append(true).create(true))?;
        Ok(Self { run, path, file, head: 0, bytes: 0, waiting: VecDeque::new() })
    }

    fn read(path: PathBuf) -> io::Result<Self> {
        let text = String::from_utf8(folder::read(&path)?).map_err(|_| io::ErrorKind::InvalidData)?;
        let (head, rows) = text.split_once('\n').ok_or(io::ErrorKind::InvalidData)?;
        let run: Run = serde_json::from_str(head)?;
        // A crash may have left the last line unfinished.
        let rows = rows.lines().filter_map(|line| serde_json::from_str(line).ok());
        let waiting = rows.map(|row| Waiting { row: Row(row), may_be_there: true }).collect();
        let (head, bytes) = (head.len() as u64 + 1, text.len() as u64);
        let file = folder::open(&path, folder::options().append(true))?;
        Ok(Self { run, path, file, head, bytes, waiting })
    }

    /// Writes the file again.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = serde_json::to_string(&self.run)? + "\n";
        self.head = text.len() as u64;
        for waiting in &self.waiting {
            text += &format!("{}\n", Value::Object(waiting.row.0.clone()));
        }
        let new = self.path.with_extension("new");
        let mut file = folder::open(&new, folder::options().write(true).create(true).truncate(true))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        self.file = folder::open(&self.path, folder::options().append(true))?;
        self.bytes = text.len() as u64;
        Ok(())
    }

    /// Keeps a row. It waits in memory even if it cannot be written.
    pub(super) fn push(&mut self, row: Row) -> io::Result<()> {
        let line = format!("{}\n", Value::Object(row.0.clone()));
        self.waiting.push_back(Waiting { row, may_be_there: false });
        // The row's size counts even if it is not written, because it bounds memory too.
        self.bytes += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }

    /// The first rows were sent, and no answer came.
    pub(super) fn unanswered(&mut self, rows: usize) {
        self.waiting.iter_mut().take(rows).for_each(|waiting| waiting.may_be_there = true);
    }

    /// The first rows are delivered, or will never be accepted.
    pub(super) fn forget(&mut self, rows: usize) {
        self.waiting.drain(..rows.min(self.waiting.len()));
        // Rows that went one by one stay in the file until none waits: should the process end before, they are recognized
        // by their time.
        if self.waiting.is_empty() && self.file.set_len(self.head).is_ok() {
            self.bytes = self.head;
        }
    }

    /// Removes the file.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::OpenOptions;

    use serde_json::json;

    use super::*;

    fn run(id: &str, begun_ms: u64) -> Run {
        Run {
            id: id.to_owned(),
            project: "grail".to_owned(),
            entity: None,
            name: None,
            notes: None,
            tags: Vec::new(),
            config: BTreeMap::new(),
            begun_ms,
        }
    }

    fn row(timestamp: f64) -> Row {
        Row([(TIMESTAMP.to_owned(), json!(timestamp))].into_iter().collect())
    }

    fn times(spool: &Spool) -> Vec<(f64, bool)> {
        spool.waiting.iter().map(|waiting| (waiting.timestamp(), waiting.may_be_there)).collect()
    }

    #[test]
    fn undelivered_rows_survive_also_of_other_runs() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, others) = Spool::open(folder.path(), run("a", 1)).unwrap();
        assert!(others.is_empty());
        (0..5).for_each(|n| first.push(row(f64::from(n))).unwrap());
        first.forget(2);
        assert_eq!(times(&first), [(2.0, false), (3.0, false), (4.0, false)]);
        // A crash in the middle of a write.
        let mut file = OpenOptions::new().append(true).open(folder.path().join("a.jsonl")).unwrap();
        file.write_all(br#"{"_timestamp":9"#).unwrap();
        fs::write(folder.path().join("odd.jsonl"), "no run").unwrap();
        drop(first);
        let (second, mut others) = Spool::open(folder.path(), run("b", 2)).unwrap();
        assert_eq!((times(&second).len(), others.len()), (0, 1));
        let left = others.remove(0);
        assert_eq!((left.run.id.as_str(), times(&left).len()), ("a", 5));
        assert!(times(&left).iter().all(|(_, may_be_there)| *may_be_there));
        left.remove();
        assert!(!folder.path().join("a.jsonl").exists() && folder.path().join("odd.jsonl").exists());
    }

    #[test]
    fn a_spool_that_was_delivered_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(folder.path(), run("a", 1)).unwrap();
        let empty = spool.bytes;
        (0..3).for_each(|n| spool.push(row(f64::from(n))).unwrap());
        let full = fs::metadata(folder.path().join("a.jsonl")).unwrap().len();
        assert!(spool.bytes == full && full > empty);
        spool.forget(3);
        assert_eq!((spool.bytes, fs::metadata(folder.path().join("a.jsonl")).unwrap().len()), (empty, empty));
        // The run continues under another name.
        spool.push(row(7.0)).unwrap();
        drop(spool);
        let renamed = Run { name: Some("new".to_owned()), ..run("a", 3) };
        let (again, _) = Spool::open(folder.path(), renamed.clone()).unwrap();
        assert_eq!((times(&again), &again.run), (vec![(7.0, true)], &renamed));
    }
}
