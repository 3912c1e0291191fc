//! One window as an archive to hand on: enough to replay it elsewhere, and no secret.

mod redaction;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

pub use self::redaction::Redactor;
use crate::tapes::tapes_in;
use crate::why::{of_hotkey, receipts};
use grail_journal::records_of;
use grail_miner::ports::JournalRecord;
use grail_tape::archive::packed;
use grail_tape::{NoSuchWindow, Tape};
use grail_terminal::{Exit, ExitError};

/// Only the end of a log matters, and it must not dwarf the rest.
const LOG_BYTES_MAX: usize = 2 << 20;

/// Inputs of an archive.
pub struct Sources<'a> {
    /// First block of the window.
    pub window: u64,
    /// The miner's data folder.
    pub data_folder: &'a Path,
    /// Folder of its tapes.
    pub tapes: &'a Path,
    /// Address of the hotkey, if known.
    pub hotkey: Option<&'a str>,
    /// A file that the log was written to.
    pub log: Option<&'a Path>,
    /// The configuration as `grail config show --json` shows it.
    pub config: Value,
    /// The configuration's account id, if any.
    pub account: Option<&'a str>,
    /// The redaction of secrets.
    pub redactor: &'a Redactor,
}

/// An archive and its files.
pub struct Bundle {
    /// The archive: gzipped tar.
    pub bytes: Vec<u8>,
    /// Names and sizes of its files.
    pub files: Vec<(String, usize)>,
    /// Missing parts, with the reason.
    pub missing: Vec<String>,
}

impl Bundle {
    /// Puts everything that there is of a window into an archive.
    ///
    /// # Errors
    /// If nothing is known of the window, if the configuration is of another account, or if a tape holds a secret.
    pub fn of(sources: &Sources<'_>) -> anyhow::Result<Self> {
        let Sources { window, redactor, .. } = sources;
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for (number, tape) in (1..).zip(tapes(sources, &mut missing)?) {
            redactor.refuse(&format!("{tape:?}"))?;
            files.push((format!("window-{window}-{number}.tape"), tape.to_bytes().context("a tape cannot be packed")?));
        }
        let receipts: Vec<_> = match receipts(sources.data_folder) {
            Ok(all) => of_hotkey(all, sources.hotkey).into_iter().filter(|receipt| receipt.window == *window).collect(),
            Err(error) => {
                missing.push(error.to_string());
                Vec::new()
            }
        };
        let is_of_another = |address: &String| sources.account.is_some_and(|account| !address.contains(account));
        if receipts.iter().filter_map(|receipt| receipt.address.as_ref()).any(is_of_another) {
            let text = format!(
                "nothing is packed, since secrets are found by the configuration, and this one is of another account than \
                 window {window}; name the miner's own .env with --env-file"
            );
            return Err(ExitError::new(Exit::Configuration, text).into());
        }
        let journal = journal(sources, &mut missing);
        if files.is_empty() && receipts.is_empty() && journal.is_empty() {
            bail!("nothing is known of window {window}: {}", missing.join("; "));
        }
        let log = sources.log.map(log_end).transpose()?;
        let texts = [
            ("receipt.jsonl", lines(receipts.iter().map(|receipt| json!(receipt)))),
            ("journal.jsonl", lines(journal.into_iter())),
            ("config.json", format!("{:#}\n", sources.config)),
            ("version.json", format!("{:#}\n", version())),
            ("missing.txt", lines(missing.iter())),
        ];
        files.extend(texts.map(|(name, text)| (name.to_owned(), redactor.redacted(&text).into_bytes())));
        files.extend(log.map(|log| ("log.txt".to_owned(), redactor.redacted(&log).into_bytes())));
        let bytes = packed(&format!("grail-bundle-{window}"), &files).context("the archive cannot be packed")?;
        let files = files.into_iter().map(|(name, bytes)| (name, bytes.len())).collect();
        Ok(Self { bytes, files, missing })
    }
}

/// Returns the window from every tape that has it: more than one if the miner restarted within it.
fn tapes(sources: &Sources<'_>, missing: &mut Vec<String>) -> anyhow::Result<Vec<Tape>> {
    let mut found = Vec::new();
    for path in tapes_in(sources.tapes).unwrap_or_default() {
        let read = Tape::read(&path);
        let address = |tape: &Tape| tape.header.settings.hotkey.to_ss58();
        if read.as_ref().is_ok_and(|tape| sources.hotkey.is_some_and(|wanted| address(tape) != wanted)) {
            continue;
        }
        match read.map(|tape| tape.excerpt(sources.window)) {
            Ok(Ok(tape)) => found.push(tape),
            Ok(Err(NoSuchWindow { .. })) => {}
            Err(error) => missing.push(error.to_string()),
        }
    }
    if found.is_empty() {
        missing.push(format!("no tape in {} has window {}", sources.tapes.display(), sources.window));
    }
    Ok(found)
}

/// Returns the journal's records, rollouts by number alone: the tape has them.
fn journal(sources: &Sources<'_>, missing: &mut Vec<String>) -> Vec<Value> {
    let Some(hotkey) = sources.hotkey else {
        missing.push("the journal: it is not known whose; name the hotkey with --hotkey".to_owned());
        return Vec::new();
    };
    let records = records_of(sources.data_folder, hotkey, sources.window).unwrap_or_else(|error| {
        missing.push(error.to_string());
        Vec::new()
    });
    let line_of = |record| match record {
        JournalRecord::Group { window_start, rollouts } => {
            let index = rollouts.first().map(|rollout| rollout.rollout_group);
            json!({ "Group": { "window_start": window_start, "index": index, "rollouts": rollouts.len() } })
        }
        other => json!(other),
    };
    records.into_iter().map(line_of).collect()
}

fn log_end(path: &Path) -> anyhow::Result<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let begin = file.metadata()?.len().saturating_sub(LOG_BYTES_MAX as u64);
        file.seek(SeekFrom::Start(begin))?;
        let mut end = Vec::new();
        file.take(LOG_BYTES_MAX as u64).read_to_end(&mut end)?;
        // A line that is cut may hold a part of a secret, which nothing finds.
        let cut = if begin == 0 { 0 } else { end.iter().position(|byte| *byte == b'\n').unwrap_or(end.len()) };
        Ok(end.split_off(cut))
    };
    let end = read().with_context(|| format!("cannot read {}; give --log a log file", path.display()))?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

fn version() -> Value {
    json!({
        "grail": env!("CARGO_PKG_VERSION"),
        "protocol": grail_protocol::PROTOCOL.reference_release,
        "model": grail_protocol::PROTOCOL.model_name,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    })
}

fn lines(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    items.map(|item| format!("{item}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = format!("key={}\n", "s".repeat(57));
        for (lines, begins) in [(3, "key="), (LOG_BYTES_MAX / line.len() + 3, "\nkey=")] {
            std::fs::write(&path, format!("x{}", line.repeat(lines))).unwrap();
            let end = log_end(&path).unwrap();
            assert!(end.trim_start_matches('x').starts_with(begins) && end.ends_with("s\n"), "{:?}", &end[..20]);
        }
    }
}
