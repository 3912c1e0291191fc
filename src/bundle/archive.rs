//! The archive: gzipped tar, written and read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// No archive of ours unpacks to more.
const UNPACKED_BYTES_MAX: u64 = 2 << 30;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not one of ours, or damaged.
    #[error("{} is no bundle ({source}); give a tape, or an archive as `grail bundle` writes it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// There is nothing to replay in it.
    #[error("the bundle {} holds no tape; its missing.txt says why", path.display())]
    NoTape {
        /// The file.
        path: PathBuf,
    },
}

/// Whether these are the first bytes of an archive.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

/// These files in a folder of this name, the same bytes for the same files.
pub(super) fn packed(folder: &str, files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        archive.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

/// Names and bytes of the tapes in an archive.
///
/// # Errors
/// [`BundleError`].
pub fn tapes_in(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let damaged = |source| BundleError::Damaged { path: path.to_owned(), source };
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(UNPACKED_BYTES_MAX));
    let mut tapes = Vec::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.display().to_string();
        if !name.ends_with(".tape") {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        tapes.push((name, bytes));
    }
    if tapes.is_empty() {
        return Err(BundleError::NoTape { path: path.to_owned() });
    }
    Ok(tapes)
}
