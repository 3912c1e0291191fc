//! Names and values as typed: which source won, and which lost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::dotenv::EnvFile;
use super::keys::{KEYS, Key, OVERRIDE, PASSWORD_PREFIX};
use super::notice::{Notice, is_ours};
use super::setting::{Candidate, Origin, Setting};

/// Variables by name.
pub type Environment = BTreeMap<String, SecretString>;

/// Everything that was typed for names that are ours, known or not.
#[derive(Debug, Clone)]
pub struct RawConfig {
    settings: BTreeMap<String, Setting>,
    home: Option<PathBuf>,
    file: Option<PathBuf>,
    /// Notices about names in the file that are not settings.
    others: Vec<Notice>,
}

impl RawConfig {
    /// Puts the sources together: the environment wins over the file, and a later line over an earlier one;
    /// `GRAIL_ENV_OVERRIDE=1` lets the file win. An empty value counts as none, as in the reference.
    pub fn merge(environment: &Environment, file: Option<&EnvFile>) -> Self {
        let entries = file.into_iter().flat_map(|file| file.entries.iter().rev().map(move |entry| (file, entry)));
        let from_file = entries.filter_map(|(file, entry)| {
            let origin = Origin::File { path: file.path.clone(), line: entry.line };
            Some((entry.name.as_str(), Candidate::new(&entry.value, origin, entry.left_out)?))
        });
        let from_environment = environment
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), Candidate::new(value, Origin::Environment, None)?)));
        let mut candidates: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
        for (name, candidate) in from_environment.chain(from_file).filter(|(name, c)| is_ours(name, &c.origin)) {
            candidates.entry(name).or_default().push(candidate);
        }
        let file_wins = candidates.get(OVERRIDE).and_then(|typed| parse_switch(typed[0].value.expose_secret()));
        if file_wins == Some(true) {
            // A stable sort, so that a later line stays before an earlier one.
            candidates.values_mut().for_each(|typed| typed.sort_by_key(|c| c.origin == Origin::Environment));
        }
        let home = environment.get("HOME").map(|home| home.expose_secret()).filter(|home| !home.is_empty());
        let home = home.map(PathBuf::from);
        let settings = candidates.into_iter().map(|(name, typed)| (name.to_owned(), Setting::of(typed))).collect();
        let others = file.into_iter().flat_map(Notice::about_file).collect();
        Self { settings, home, file: file.map(|file| file.path.clone()), others }.with_defaults()
    }

    /// Returns the typed value of a name, or its default.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// Returns every name that was typed or has a default, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// Returns the file that was read.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Returns the user's folder, for `~`.
    pub fn home(&self) -> Option<&PathBuf> {
        self.home.as_ref()
    }

    /// Returns the variables that hold wallet passwords.
    pub fn passwords(&self) -> Environment {
        let passwords = self.settings().filter(|(name, _)| name.starts_with(PASSWORD_PREFIX));
        passwords.map(|(name, setting)| (name.to_owned(), setting.won.value.clone())).collect()
    }

    /// Returns notices about the names themselves.
    pub fn notices(&self) -> Vec<Notice> {
        self.settings().flat_map(|(name, setting)| Notice::about(name, setting)).chain(self.others.clone()).collect()
    }

    fn with_defaults(mut self) -> Self {
        for Key { name, default, .. } in KEYS {
            let Some(default) = default else { continue };
            let won = Candidate { value: SecretString::from(*default), origin: Origin::Default, left_out: None };
            self.settings.entry((*name).to_owned()).or_insert(Setting { won, lost: Vec::new() });
        }
        self
    }
}

/// Returns a switch as the reference reads it, where it is one.
pub(super) fn parse_switch(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}
