//! Files of others, which may have any length.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Returns the content of a file of at most `limit` bytes.
///
/// # Errors
/// The operating system's error, or that the file is longer than `limit`; it stops reading there.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, limit)
}

/// Reads to the end, at most `limit` bytes.
///
/// # Errors
/// As [`read`].
pub fn read_from(source: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // Measured while reading, since a device or a pipe states no length.
    source.take(limit as u64 + 1).read_to_end(&mut content)?;
    if content.len() > limit {
        let what = format!("it has more than {}", shown(limit));
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(content)
}

/// Returns the same as text.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn shown(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'a'; 2048]).unwrap();
        assert_eq!(read(&path, 2048).unwrap().len(), 2048);
        assert_eq!(read_text(&path, 4096).unwrap(), "a".repeat(2048));
        assert_eq!(read(&path, 2047).unwrap_err().to_string(), "it has more than 1 KiB");
        assert_eq!(read(Path::new("/dev/zero"), 3 << 20).unwrap_err().to_string(), "it has more than 3 MiB");
        assert_eq!(read(Path::new("/dev/null"), 0).unwrap(), b"");
    }
}
