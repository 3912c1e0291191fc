//! Reads a journal that another process may be writing; locks, cuts and creates nothing.

use std::ops::Range;
use std::path::Path;

use grail_folder::frames::scan;
use grail_miner::ports::JournalRecord;
use grail_protocol::budget::{Budget, OverBudget};

use super::error::JournalFileError;
use super::files::Files;
use super::record::{KIND, decode};

/// Most memory that the records of a file take.
pub(super) const DECODED_BYTES_MAX: usize = 1536 << 20;

/// Returns records of one window in the journal of the hotkey with this address, whichever of its files they are in.
///
/// # Errors
/// [`JournalFileError`] if a file cannot be read or is damaged before its tail.
pub fn records_of(folder: &Path, hotkey: &str, window: u64) -> Result<Vec<JournalRecord>, JournalFileError> {
    let mut by_file = Vec::new();
    Files::each(folder, hotkey, |path, content| {
        let records = records_in(path, content)?.into_iter().filter(|record| window_of(record) == window);
        by_file.push(records.collect::<Vec<_>>());
        Ok(())
    })?;
    Ok(by_file.into_iter().rev().flatten().collect())
}

/// Returns every whole record of a journal's file; `path` is for errors.
///
/// # Errors
/// [`JournalFileError`] if the file is damaged before its tail.
pub fn records_in(path: &Path, content: &[u8]) -> Result<Vec<JournalRecord>, JournalFileError> {
    records_within(&Budget::new(DECODED_BYTES_MAX), path, content)
}

fn records_within(budget: &Budget, path: &Path, content: &[u8]) -> Result<Vec<JournalRecord>, JournalFileError> {
    let damaged = |damage| JournalFileError::Damaged { path: path.to_owned(), damage };
    let too_long = |excess: OverBudget| JournalFileError::TooLong { path: path.to_owned(), why: excess.to_string() };
    let payloads = scan(&KIND, content).map_err(damaged)?.payloads;
    budget.spend(payloads.len().saturating_mul(size_of::<JournalRecord>())).map_err(too_long)?;
    let record = |(number, payload): (usize, Range<usize>)| {
        decode(&content[payload], budget).map_err(|source| match budget.check() {
            Err(excess) => too_long(excess),
            Ok(()) => JournalFileError::Unreadable { path: path.to_owned(), number, source },
        })
    };
    (1..).zip(payloads).map(record).collect()
}

/// Returns the addresses whose journals are in a folder, in order.
pub fn hotkeys(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut hotkeys: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".journal")?.to_owned())).collect();
    hotkeys.sort();
    hotkeys
}

/// Returns the window that a record is about.
fn window_of(record: &JournalRecord) -> u64 {
    match record {
        JournalRecord::Window(context) => context.window_start,
        JournalRecord::Group { window_start, .. }
        | JournalRecord::UploadStarted { window_start, .. }
        | JournalRecord::UploadDone { window_start, .. }
        | JournalRecord::UploadAbandoned { window_start, .. }
        | JournalRecord::WindowClosed { window_start } => *window_start,
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::encode;
    use super::*;
    use grail_folder::frames::frame;

    #[test]
    fn records_that_take_more_than_the_budget_are_refused() {
        let closed = |window_start| JournalRecord::WindowClosed { window_start };
        let file = |count: u64| {
            let frames = (0..count).flat_map(|window| frame(&encode(&closed(window)).unwrap()));
            KIND.header().into_iter().chain(frames).collect::<Vec<u8>>()
        };
        let read = |count, bytes| records_within(&Budget::new(bytes), Path::new("5abc.journal"), &file(count));
        let least = |count| (0..).step_by(8).find(|bytes| read(count, *bytes).is_ok()).unwrap();
        assert!(least(10) >= 10 * size_of::<JournalRecord>() && least(20) >= 2 * least(10) - 8, "{}", least(10));
        let refused = read(20, least(20) - 8);
        assert!(matches!(refused, Err(JournalFileError::TooLong { .. })), "{refused:?}");
        // A text counts with its length.
        let abandoned =
            JournalRecord::UploadAbandoned { window_start: 0, digest: "d".repeat(5_000), why: "w".to_owned() };
        let file = [&KIND.header()[..], &frame(&encode(&abandoned).unwrap())].concat();
        let read = |bytes| records_within(&Budget::new(bytes), Path::new("5abc.journal"), &file);
        assert!(matches!(read(5_000), Err(JournalFileError::TooLong { .. })));
        assert_eq!(read(20_000).unwrap(), std::slice::from_ref(&abandoned));
    }
}
