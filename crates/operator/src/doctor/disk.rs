//! The data folder is its owner's alone and can be written to, and its disk has room.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Subject;
use super::check::{Check, Fix, Obstacle};
use super::passing::passes;
use super::with_timeout::with_timeout;
use grail_folder as folder;

const FOLDER: &str = "disk.folder";
const FREE: &str = "disk.free";
/// Below this many times what is enough, there is a warning.
const COMFORT: u64 = 8;
const FREE_REMEDY: &str = "free some of the disk, or name another folder with --data-dir";

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let Some(folder) = subject.data_folder.map(Path::to_owned) else {
        let remedy = "say where the journal may lie with --data-dir";
        return vec![
            Check::blocked(FOLDER, Obstacle::Configuration, "no home folder is known", remedy),
            Check::skipped(FREE, FOLDER),
        ];
    };
    let bytes_min = subject.limits.disk_bytes_min;
    let looked = with_timeout(subject.limits.call(), move || look(&folder, bytes_min)).await;
    looked.unwrap_or_else(|| {
        let remedy = "see whether the disk is well, or name another folder with --data-dir";
        vec![Check::passing(FOLDER, "the disk does not answer", remedy), Check::skipped(FREE, FOLDER)]
    })
}

fn look(folder: &Path, bytes_min: u64) -> Vec<Check> {
    let Some(existing) = existing(folder) else {
        let value = format!("{} does not exist, nor does any folder above it", folder.display());
        return vec![
            Check::blocked(FOLDER, Obstacle::Configuration, value, "name a folder with --data-dir"),
            Check::skipped(FREE, FOLDER),
        ];
    };
    let room = free(&existing, bytes_min);
    // The miner refuses this at its start.
    if folder.exists()
        && let Err(error) = folder::examine(folder)
    {
        return vec![Check::blocked_by(FOLDER, Obstacle::Configuration, &error.to_string(), "; "), room];
    }
    match try_writing(&existing) {
        Ok(()) if folder.exists() => {
            vec![Check::ok(FOLDER, format!("{} can be written to", folder.display())), room]
        }
        Ok(()) => {
            let check = Check::ok(FOLDER, format!("{} will be made", folder.display()));
            vec![check.fixed_by(Fix::Folder(folder.to_owned())), room]
        }
        Err(error) if passes(&error) => {
            let value = format!("{} cannot be written to for now: {error}", existing.display());
            vec![Check::passing(FOLDER, value, FREE_REMEDY), room]
        }
        Err(error) => {
            let value = format!("{} cannot be written to: {error}", existing.display());
            let remedy = "give grail's user the right to write there, or name another folder with --data-dir";
            vec![Check::blocked(FOLDER, Obstacle::Configuration, value, remedy), room]
        }
    }
}

/// Returns the folder, or the nearest one above it that there is.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|folder| folder.exists()).map(Path::to_owned)
}

fn try_writing(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".grail-doctor-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
        file.write_all(b"grail doctor")?;
        file.sync_all()
    });
    // If the file was not created, there is nothing to remove.
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn free(folder: &Path, bytes_min: u64) -> Check {
    match fs4::available_space(folder) {
        Err(error) => Check::warning(FREE, format!("the system does not tell: {error}"), "see that there is room"),
        Ok(bytes) => {
            let value = format!("{} MiB", bytes >> 20);
            match bytes {
                _ if bytes < bytes_min => Check::failure(FREE, value, FREE_REMEDY),
                _ if bytes < bytes_min.saturating_mul(COMFORT) => Check::warning(FREE, value, FREE_REMEDY),
                _ => Check::ok(FREE, value),
            }
        }
    }
}
