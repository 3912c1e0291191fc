//! A look at a journal that another process may be writing: nothing is locked, cut or made.

use std::path::Path;

use grail_folder as folder;
use grail_miner::frames::scan;
use grail_miner::ports::JournalRecord;

use super::error::JournalFileError;
use super::files::Files;
use super::record::decode;
use super::writer::KIND;

/// Records of one window in the journal of the hotkey with this address, whichever of its files they are in.
///
/// # Errors
/// [`JournalFileError`] where a file cannot be read or is damaged before its tail.
pub fn records_of(folder: &Path, hotkey: &str, window: u64) -> Result<Vec<JournalRecord>, JournalFileError> {
    let mut records = Vec::new();
    for path in Files::all(folder, hotkey) {
        let content = folder::read(&path).map_err(|source| JournalFileError::io("reading", &path, source))?;
        records.extend(records_in(&path, &content)?.into_iter().filter(|record| window_of(record) == window));
    }
    Ok(records)
}

/// Every whole record of a journal's file; `path` is for errors.
///
/// # Errors
/// [`JournalFileError`] where the file is damaged before its tail.
pub fn records_in(path: &Path, content: &[u8]) -> Result<Vec<JournalRecord>, JournalFileError> {
    let damaged = |damage| JournalFileError::Damaged { path: path.to_owned(), damage };
    let payloads = (1..).zip(scan(&KIND, content).map_err(damaged)?.payloads);
    payloads
        .map(|(number, payload)| {
            let unreadable = |source| JournalFileError::Unreadable { path: path.to_owned(), number, source };
            decode(&content[payload]).map_err(unreadable)
        })
        .collect()
}

/// The addresses whose journals are in a folder, in order.
pub fn hotkeys(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut hotkeys: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".journal")?.to_owned())).collect();
    hotkeys.sort();
    hotkeys
}

/// The window that a record is about.
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
