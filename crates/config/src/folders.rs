//! Default folders, by the environment.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::raw::Environment;

/// Returns where journal and receipts lie: `$XDG_DATA_HOME/grail`, or `~/.local/share/grail`.
pub fn data_folder(environment: &Environment) -> Option<PathBuf> {
    // The standard has relative paths ignored.
    let data_home = folder(environment, "XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(data_home.or_else(|| Some(folder(environment, "HOME")?.join(".local/share")))?.join("grail"))
}

/// Returns the home folder of Hugging Face's tools, by their own variables.
pub fn hub_home(environment: &Environment) -> Option<PathBuf> {
    let caches = || folder(environment, "XDG_CACHE_HOME").or_else(|| Some(folder(environment, "HOME")?.join(".cache")));
    folder(environment, "HF_HOME").or_else(|| Some(caches()?.join("huggingface")))
}

/// Returns their cache folder for models. Every search, download and opening of a model uses it.
pub fn hub_cache(environment: &Environment) -> Option<PathBuf> {
    folder(environment, "HF_HUB_CACHE").or_else(|| Some(hub_home(environment)?.join("hub")))
}

/// Returns the folder of a model: the one that it names, or its newest snapshot in the hub's cache.
pub fn model_folder(model: &str, hub_cache: Option<&Path>) -> Option<PathBuf> {
    if Path::new(model).is_dir() {
        return Some(PathBuf::from(model));
    }
    let repository = hub_cache?.join(format!("models--{}", model.replace('/', "--")));
    let revision = std::fs::read_to_string(repository.join("refs/main")).ok()?;
    Some(repository.join("snapshots").join(revision.trim())).filter(|folder| folder.is_dir())
}

fn folder(environment: &Environment, name: &str) -> Option<PathBuf> {
    let path = environment.get(name)?.expose_secret();
    (!path.is_empty()).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
    }

    #[test]
    fn folders_follow_the_standards() {
        let data = |variables: &[(&str, &str)]| data_folder(&environment(variables));
        assert_eq!(data(&[("HOME", "/h")]), Some(PathBuf::from("/h/.local/share/grail")));
        assert_eq!(data(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), Some(PathBuf::from("/x/grail")));
        assert_eq!(data(&[("HOME", "/h"), ("XDG_DATA_HOME", "x")]), Some(PathBuf::from("/h/.local/share/grail")));
        assert_eq!(data(&[("HOME", "")]), None);
        let hub = |variables: &[(&str, &str)]| hub_cache(&environment(variables));
        assert_eq!(hub(&[("HOME", "/h")]), Some(PathBuf::from("/h/.cache/huggingface/hub")));
        assert_eq!(hub(&[("HOME", "/h"), ("HF_HOME", "/f")]), Some(PathBuf::from("/f/hub")));
        assert_eq!(hub(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/f")]), Some(PathBuf::from("/c")));
        assert_eq!(hub(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some(PathBuf::from("/x/huggingface/hub")));
        assert_eq!(hub(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f")]), Some(PathBuf::from("/f/hub")));
        assert_eq!(hub(&[]), None);
    }
}
