//! The inputs of a process, kept for the process that replaces it.
//!
//! A pipe can be read once, and a password is typed once. A miner that restarts in place hands both over.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::locked::keep_in_memory;

/// Contents of files and typed passwords, by path. Clones share them. The last one wipes them, and they are not swapped
/// to disk if the operating system allows that.
#[derive(Clone, Default)]
pub struct Inputs(Arc<Mutex<Kept>>);

#[derive(Default, Clone, Serialize, Deserialize)]
struct Kept {
    files: BTreeMap<PathBuf, Input>,
    passwords: BTreeMap<PathBuf, Zeroizing<String>>,
    /// Whether these are all files, so that none is read from disk.
    is_whole: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Input {
    /// None if there was no file.
    content: Option<Zeroizing<Vec<u8>>>,
    /// Whether it came from a pipe or another source that can be read only once.
    is_once: bool,
}

/// Returns whether a file can be read only once: a pipe, or a descriptor of this process.
pub fn is_there_once(path: &Path, metadata: &Metadata) -> bool {
    !metadata.is_file() || path.starts_with("/dev") || path.starts_with("/proc")
}

impl Inputs {
    /// Returns the content of a file that must not be read again; the inner `None` means that there was no file.
    pub fn held(&self, path: &Path) -> Option<Option<Zeroizing<Vec<u8>>>> {
        let kept = self.kept();
        let input = kept.files.get(path)?;
        (input.is_once || kept.is_whole).then(|| input.content.clone())
    }

    /// Keeps the content of a file; `is_once` says that it cannot be read again.
    pub fn keep(&self, path: &Path, content: Option<&[u8]>, is_once: bool) {
        let content = content.map(|content| Zeroizing::new(content.to_vec()));
        content.iter().for_each(|content| keep_in_memory(content));
        self.kept().files.insert(path.to_owned(), Input { content, is_once });
    }

    /// Returns the password that was typed for a file.
    pub fn password(&self, path: &Path) -> Option<SecretString> {
        self.kept().passwords.get(path).map(|password| SecretString::from(password.as_str()))
    }

    /// Keeps a password that was typed for a file.
    pub fn keep_password(&self, path: &Path, password: &SecretString) {
        let password = Zeroizing::new(password.expose_secret().to_owned());
        keep_in_memory(password.as_bytes());
        self.kept().passwords.insert(path.to_owned(), password);
    }

    /// Returns only inputs that cannot be read again; a process with these reads everything else from disk.
    pub fn once(&self) -> Self {
        let mut kept = self.kept().clone();
        kept.files.retain(|_, input| input.is_once);
        kept.is_whole = false;
        Self::of(kept)
    }

    /// Returns all inputs, so that a process with these starts as this one did, even if files have changed.
    pub fn whole(&self) -> Self {
        Self::of(Kept { is_whole: true, ..self.kept().clone() })
    }

    fn of(kept: Kept) -> Self {
        let contents = kept.files.values().filter_map(|input| input.content.as_ref());
        contents.for_each(|content| keep_in_memory(content));
        kept.passwords.values().for_each(|password| keep_in_memory(password.as_bytes()));
        Self(Arc::new(Mutex::new(kept)))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Kept::deserialize(deserializer).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: Option<Option<Zeroizing<Vec<u8>>>>) -> Option<Option<String>> {
        content.map(|content| content.map(|content| String::from_utf8(content.to_vec()).unwrap()))
    }

    #[test]
    fn rereadable_inputs_are_held_only_if_all_inputs_are() {
        let inputs = Inputs::default();
        let [pipe, file, absent] = ["/pipe", "/file", "/absent"].map(Path::new);
        inputs.keep(pipe, Some(b"from a pipe"), true);
        inputs.keep(file, Some(b"from a file"), false);
        inputs.keep(absent, None, false);
        inputs.keep_password(file, &SecretString::from("typed"));
        let held = |inputs: &Inputs| [pipe, file, absent].map(|path| text(inputs.held(path)));
        let piped = Some(Some("from a pipe".to_owned()));
        assert_eq!(held(&inputs), [piped.clone(), None, None]);
        let handed_over: Inputs = postcard::from_bytes(&postcard::to_allocvec(&inputs.once()).unwrap()).unwrap();
        assert_eq!(held(&handed_over), [piped.clone(), None, None]);
        assert_eq!(handed_over.password(file).unwrap().expose_secret(), "typed");
        assert!(handed_over.password(pipe).is_none());
        let whole: Inputs = postcard::from_bytes(&postcard::to_allocvec(&inputs.whole()).unwrap()).unwrap();
        assert_eq!(held(&whole), [piped.clone(), Some(Some("from a file".to_owned())), Some(None)]);
        assert_eq!(text(whole.held(Path::new("/other"))), None);
        assert_eq!(held(&whole.once()), [piped, None, None]);
    }
}
