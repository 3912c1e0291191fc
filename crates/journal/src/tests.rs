//! Failing disks: the first failure poisons the journal, and what was acknowledged before stays.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::files::Appending;
use super::*;

/// Fails one operation, counted over all files, and records later operations on the same file.
struct Failing {
    file: File,
    plan: Arc<Plan>,
    failed: bool,
}

struct Plan {
    fails_at: usize,
    kind: io::ErrorKind,
    /// Half of what was to be written reaches the file.
    halfway: bool,
    operations: AtomicUsize,
    after_failure: Mutex<Vec<&'static str>>,
}

impl Failing {
    fn step(&mut self, operation: &'static str) -> io::Result<()> {
        if self.failed {
            self.plan.after_failure.lock().unwrap().push(operation);
        }
        if self.plan.operations.fetch_add(1, Ordering::Relaxed) == self.plan.fails_at {
            self.failed = true;
            return Err(self.plan.kind.into());
        }
        Ok(())
    }
}

impl Appending for Failing {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let step = self.step("write");
        if step.is_ok() || self.plan.halfway {
            let written = if step.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
            Appending::write_all(&mut self.file, written)?;
        }
        step
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step("sync")?;
        Appending::sync(&mut self.file)
    }
}

fn records() -> Vec<JournalRecord> {
    let started = |window_start| JournalRecord::UploadStarted { window_start, digest: "aa".repeat(32), groups: 1 };
    vec![window(30), started(30), window(30), started(60), window(60), started(61)]
}

fn window(window_start: u64) -> JournalRecord {
    JournalRecord::Window(grail_protocol::rollout::WindowContext {
        hotkey: HOTKEY,
        window_start,
        block_hash: format!("0x{}", "ab".repeat(32)),
        randomness: "cd".repeat(32),
        use_drand: true,
    })
}

const HOTKEY: Hotkey = Hotkey::from_bytes([7; 32]);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn failing_at(fails_at: usize, kind: io::ErrorKind, halfway: bool) -> (Arc<Plan>, Wrap) {
    let plan = Plan { fails_at, kind, halfway, operations: AtomicUsize::new(0), after_failure: Mutex::new(Vec::new()) };
    let plan = Arc::new(plan);
    let mine = plan.clone();
    (plan, Box::new(move |file| Box::new(Failing { file, plan: mine.clone(), failed: false })))
}

/// Returns the journal with the failure planted, and how many appends it acknowledged; nothing if it did not even open.
fn append_all(folder: &Path, wrap: Wrap) -> Option<(FileJournal, Vec<JournalRecord>, Vec<JournalError>)> {
    let journal = FileJournal::open_through(folder, HOTKEY, wrap).ok()?;
    let (mut durable, mut errors) = (Vec::new(), Vec::new());
    for record in records() {
        match block_on(journal.append(&record)) {
            Ok(()) => {
                assert!(errors.is_empty(), "an append succeeded after a failure");
                // The record of another window starts a new file.
                if matches!((&record, durable.first()), (JournalRecord::Window(new), Some(JournalRecord::Window(old)))
                    if new.window_start != old.window_start)
                {
                    durable.clear();
                }
                durable.push(record);
            }
            Err(error) => errors.push(error),
        }
    }
    Some((journal, durable, errors))
}

#[test]
fn every_failing_operation_poisons_and_loses_nothing_acknowledged() {
    let (plan, wrap) = failing_at(usize::MAX, io::ErrorKind::Other, false);
    let folder = tempfile::tempdir().unwrap();
    assert!(append_all(folder.path(), wrap).unwrap().2.is_empty());
    let operations = plan.operations.load(Ordering::Relaxed);
    for fails_at in 0..operations {
        for halfway in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (plan, wrap) = failing_at(fails_at, io::ErrorKind::Other, halfway);
            let Some((journal, durable, errors)) = append_all(folder.path(), wrap) else { continue };
            assert!(!errors.is_empty(), "operation {fails_at} failed without an error");
            let poisoned = errors[1..].iter().all(|error| error.0.contains("an earlier write failed: "));
            assert!(poisoned, "{errors:?}");
            assert_eq!(*plan.after_failure.lock().unwrap(), [""; 0], "a failed file was used again");
            assert_eq!(block_on(journal.load()), Ok(durable.clone()), "operation {fails_at}");
            drop(journal);
            let again = FileJournal::open(folder.path(), HOTKEY).unwrap();
            let loaded = block_on(again.load()).unwrap();
            assert!(loaded.starts_with(&durable) && loaded.len() <= durable.len() + 1, "operation {fails_at}");
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (_, wrap) = failing_at(3, io::ErrorKind::StorageFull, true);
    let (_, _, errors) = append_all(folder.path(), wrap).unwrap();
    assert!(errors.iter().all(|error| error.0.contains("is full; free some space")), "{errors:?}");
}

#[test]
fn a_journal_that_cannot_begin_does_not_open() {
    for fails_at in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let (_, wrap) = failing_at(fails_at, io::ErrorKind::StorageFull, false);
        let error = FileJournal::open_through(folder.path(), HOTKEY, wrap).unwrap_err();
        assert!(matches!(error, JournalFileError::DiskFull { .. }), "{error}");
    }
}
