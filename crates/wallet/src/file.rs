//! Reading wallet files: bounded, and refused where others can read a secret.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::WalletLocation;
use super::error::WalletError;

const BYTES_MAX: u64 = 64 * 1024;

/// A secret file's content.
pub(super) fn read_secret(path: &Path, location: &WalletLocation) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let file = open(path)?.ok_or_else(|| WalletError::Missing {
        path: path.to_owned(),
        cold: location.cold.clone(),
        hot: location.hot.clone(),
    })?;
    check_mode(path, &file)?;
    read(path, file)
}

/// A public file's content; `None` where there is none.
pub(super) fn read_public(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, WalletError> {
    open(path)?.map(|file| read(path, file)).transpose()
}

fn open(path: &Path) -> Result<Option<File>, WalletError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(WalletError::Unreadable { path: path.to_owned(), source }),
    }
}

fn read(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let unreadable = |source| WalletError::Unreadable { path: path.to_owned(), source };
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > BYTES_MAX {
        return Err(WalletError::TooLarge { path: path.to_owned(), bytes });
    }
    // Reserved as a whole, because a buffer that grows leaves copies behind that nobody wipes.
    let mut content = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize));
    file.take(BYTES_MAX).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), WalletError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file.metadata().map_err(|source| WalletError::Unreadable { path: path.to_owned(), source })?;
    if metadata.is_dir() {
        return Err(WalletError::Unreadable { path: path.to_owned(), source: io::ErrorKind::IsADirectory.into() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(WalletError::OpenToOthers { path: path.to_owned(), mode, quoted: shell_quoted(path) })
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &File) -> Result<(), WalletError> {
    Ok(())
}

#[cfg(unix)]
fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(is_safe) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_quoted(Path::new("/a/b-1.c")), "/a/b-1.c");
        assert_eq!(shell_quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
