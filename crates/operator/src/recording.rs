//! The tape that a miner or validator records while it runs.

use std::path::{Path, PathBuf};

use grail_tape::{Header, Recorder, Role, Rotation, TapeFolder};

/// Older tapes go once all of them together are larger.
const TAPE_BYTES_MAX: u64 = 4 << 30;

/// Returns whether `--tape off` was typed, which records nothing.
pub fn is_off(folder: &Path) -> bool {
    folder.as_os_str() == "off"
}

/// Returns where tapes go, by `--tape` and the default; none if they are switched off.
pub fn folder(named: Option<&Path>, default: PathBuf) -> Option<PathBuf> {
    match named {
        Some(folder) if is_off(folder) => None,
        Some(folder) => Some(folder.to_owned()),
        None => Some(default),
    }
}

/// Starts to record, unless that was switched off.
///
/// # Errors
/// If the folder that was named is a link, is open to others, or cannot be written. The default is worth less than the work, which continues without it.
pub fn start<R: Role>(
    named: Option<&Path>,
    default: PathBuf,
    header: &Header<R>,
    wall_ms: u64,
) -> anyhow::Result<Option<Recorder<R>>> {
    let Some(path) = folder(named, default) else { return Ok(None) };
    let begun = grail_folder::claim_no_link(&path).map_err(anyhow::Error::from).and_then(|()| {
        let folder = TapeFolder { path, bytes_max: TAPE_BYTES_MAX };
        Ok(Recorder::begin_rotating(&folder, Rotation::LIVE, header, wall_ms)?)
    });
    let recorder = match begun {
        Err(error) if named.is_none() => {
            tracing::warn!("{error:#}; continuing without a tape");
            return Ok(None);
        }
        other => other?,
    };
    tracing::info!("recording to {}", recorder.path().display());
    Ok(Some(recorder))
}
