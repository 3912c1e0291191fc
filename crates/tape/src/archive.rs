//! The archive: gzipped tar, written and read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// No archive of ours unpacks to more: it holds one window.
pub const UNPACKED_BYTES_MAX: u64 = 512 << 20;
/// Longest name of a file in an archive.
const NAME_BYTES_MAX: usize = 4 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not one of ours, or damaged.
    #[error("{} is not a bundle ({source}); give a tape, or an archive as `grail bundle` writes it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: io::Error,
    },
    /// There is nothing to replay in this file.
    #[error("the bundle {} holds no tape; its missing.txt says why", .0.display())]
    NoTape(PathBuf),
}

/// Returns whether these are the first bytes of an archive.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

/// These files in a folder of this name, the same bytes for the same files.
pub fn packed(folder: &str, files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
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

/// Returns names and bytes of the tapes in an archive.
///
/// # Errors
/// [`BundleError`].
pub fn tapes_in(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    tapes_within(path, bytes, UNPACKED_BYTES_MAX)
}

fn tapes_within(path: &Path, bytes: &[u8], limit: u64) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let damaged = |source| BundleError::Damaged { path: path.to_owned(), source };
    let mut archive = tar::Archive::new(Limited { inner: GzDecoder::new(bytes), left: limit });
    let mut left = limit;
    let mut tapes = Vec::new();
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if entry.path_bytes().len() > NAME_BYTES_MAX {
            return Err(damaged(io::ErrorKind::InvalidFilename.into()));
        }
        let name = entry.path().map_err(damaged)?.display().to_string();
        if !name.ends_with(".tape") {
            continue;
        }
        // The holes of a sparse file are not bytes of the archive, so its size has its own limit.
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| damaged(io::ErrorKind::FileTooLarge.into()))?;
        let mut bytes = Vec::new();
        entry.take(size).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != size {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        tapes.push((name, bytes));
    }
    // The checksum is at the end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    if tapes.is_empty() {
        return Err(BundleError::NoTape(path.to_owned()));
    }
    Ok(tapes)
}

/// Fails where another reader would continue beyond its limit.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(archive: &[u8], limit: u64) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
        tapes_within(Path::new("b.tar.gz"), archive, limit)
    }

    #[test]
    fn a_bundle_that_unpacks_to_more_than_its_limit_is_refused() {
        let files = [("notes.txt".to_owned(), vec![b'n'; 3_000_000]), ("a.tape".to_owned(), vec![b't'; 1_000_000])];
        let archive = packed("bundle", &files).unwrap();
        assert!(archive.len() < 20_000, "{}", archive.len());
        let unpacked = io::copy(&mut GzDecoder::new(archive.as_slice()), &mut io::sink()).unwrap();
        assert_eq!(read(&archive, unpacked).unwrap(), [("bundle/a.tape".to_owned(), vec![b't'; 1_000_000])]);
        for limit in [0, 2_999_999, 3_999_999] {
            let refusal = read(&archive, limit).unwrap_err().to_string();
            assert!(refusal.contains("file too large"), "{limit}: {refusal}");
        }
    }

    /// GNU's form of a file with holes: 512 bytes of the archive can mean any size.
    #[test]
    fn a_file_of_holes_is_refused_by_its_size() {
        let sparse = |size: u64| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::GNUSparse);
            header.set_path("a.tape").unwrap();
            header.set_size(512);
            let gnu = header.as_gnu_mut().unwrap();
            let octal = |number: u64| -> [u8; 12] { format!("{number:011o}\0").into_bytes().try_into().unwrap() };
            (gnu.sparse[0].offset, gnu.sparse[0].numbytes) = (octal(size - 512), octal(512));
            gnu.realsize = octal(size);
            header.set_cksum();
            let mut archive = GzEncoder::new(Vec::new(), Compression::default());
            io::Write::write_all(&mut archive, &[header.as_bytes(), &[b't'; 512][..], &[0; 1024]].concat()).unwrap();
            archive.finish().unwrap()
        };
        let tapes = read(&sparse(4096), 8_000).unwrap();
        assert_eq!(tapes[0].1, [vec![0; 3584], vec![b't'; 512]].concat());
        let refusal = read(&sparse(8_000_000_000), 8_000).unwrap_err().to_string();
        assert!(refusal.contains("file too large"), "{refusal}");
    }

    #[test]
    fn a_name_that_no_file_has_is_refused() {
        let named = |length: usize| packed(&"n".repeat(length), &[("a.tape".to_owned(), vec![b't'; 10])]).unwrap();
        assert_eq!(read(&named(NAME_BYTES_MAX - 7), 1_000_000).unwrap().len(), 1);
        assert!(matches!(read(&named(NAME_BYTES_MAX), 1_000_000), Err(BundleError::Damaged { .. })));
    }

    #[test]
    fn a_bundle_that_was_cut_is_refused() {
        let archive = packed("bundle", &[("a.tape".to_owned(), vec![b't'; 1_000])]).unwrap();
        for length in 0..archive.len() {
            assert!(read(&archive[..length], 1_000_000).is_err(), "{length} of {} bytes", archive.len());
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_announced_is_refused() {
        let mut unpacked = Vec::new();
        GzDecoder::new(packed("bundle", &[("a.tape".to_owned(), vec![b't'; 2_000])]).unwrap().as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        let mut cut = GzEncoder::new(Vec::new(), Compression::default());
        io::Write::write_all(&mut cut, &unpacked[..512 + 1_000]).unwrap();
        assert!(read(&cut.finish().unwrap(), 1_000_000).is_err());
    }
}
