//! Reads wallet files, with a size limit; refuses a secret that other users can read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::WalletError;
use super::inputs::is_there_once;
use super::{Inputs, WalletLocation};

const BYTES_MAX: u64 = 64 * 1024;

/// Returns a secret file's content.
pub(super) fn read_secret(
    path: &Path,
    location: &WalletLocation,
    inputs: &Inputs,
) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let content = read(path, inputs, |metadata| check_mode(path, metadata))?;
    content.ok_or_else(|| WalletError::Missing {
        path: path.to_owned(),
        cold: location.cold.clone(),
        hot: location.hot.clone(),
    })
}

/// Returns a public file's content; `None` if there is none.
pub(super) fn read_public(path: &Path, inputs: &Inputs) -> Result<Option<Zeroizing<Vec<u8>>>, WalletError> {
    read(path, inputs, |_| Ok(()))
}

/// Returns the content of a file that passes the check; files in `inputs` have passed it. `None` if there is no file.
fn read(
    path: &Path,
    inputs: &Inputs,
    check: impl FnOnce(&Metadata) -> Result<(), WalletError>,
) -> Result<Option<Zeroizing<Vec<u8>>>, WalletError> {
    if let Some(held) = inputs.held(path) {
        return Ok(held);
    }
    let unreadable = |source| WalletError::Unreadable { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            inputs.keep(path, None, false);
            return Ok(None);
        }
        opened => opened.map_err(unreadable)?,
    };
    let metadata = file.metadata().map_err(unreadable)?;
    check(&metadata)?;
    // Reserved as a whole, because a buffer that grows leaves copies behind that nobody wipes.
    let mut content = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize + 1));
    file.take(BYTES_MAX + 1).read_to_end(&mut content).map_err(unreadable)?;
    let bytes = metadata.len().max(content.len() as u64);
    if bytes > BYTES_MAX {
        return Err(WalletError::TooLarge { path: path.to_owned(), bytes });
    }
    inputs.keep(path, Some(&content), is_there_once(path, &metadata));
    Ok(Some(content))
}

fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), WalletError> {
    if metadata.is_dir() {
        return Err(WalletError::Unreadable { path: path.to_owned(), source: io::ErrorKind::IsADirectory.into() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(WalletError::OpenToOthers { path: path.to_owned(), mode, quoted: shell_quoted(path) })
}

fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(is_safe) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_quoted(Path::new("/a/b-1.c")), "/a/b-1.c");
        assert_eq!(shell_quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
