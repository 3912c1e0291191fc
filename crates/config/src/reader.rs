//! Reads typed values one by one, and keeps their errors.

use secrecy::ExposeSecret;

use super::charset::Content;
use super::error::ConfigError;
use super::keys::{Kind, key};
use super::notice::Notice;
use super::raw::RawConfig;
use super::setting::Setting;

/// Reads values; a value that cannot be used is `None`, with an error kept.
pub(super) struct Reader<'a> {
    pub(super) typed: &'a RawConfig,
    pub(super) errors: Vec<ConfigError>,
    pub(super) notices: Vec<Notice>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(typed: &'a RawConfig) -> Self {
        Self { typed, errors: Vec::new(), notices: typed.notices() }
    }

    /// Returns the value, if there is one.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let Setting { won, .. } = self.typed.get(name)?;
        let text = won.value.expose_secret();
        if text.contains("${") {
            self.refuse_with(ConfigError::Substitution { name, origin: won.origin.clone() });
            return None;
        }
        let content = key(name).map_or(Content::Text, |key| key.content);
        self.fits(name, content).then_some(text)
    }

    /// Returns whether what was typed holds nothing but such characters; if it does not, that is kept.
    pub(super) fn fits(&mut self, name: &str, content: Content) -> bool {
        let Some(Setting { won, .. }) = self.typed.get(name) else { return true };
        let odd = content.odd_in(won.value.expose_secret());
        if let Some(odd) = odd {
            self.refuse_with(ConfigError::Character { name: name.to_owned(), origin: won.origin.clone(), odd });
        }
        odd.is_none()
    }

    /// Returns whether anything was typed, also if it cannot be used.
    pub(super) fn is_typed(&self, name: &str) -> bool {
        self.typed.get(name).is_some()
    }

    /// Returns the value as `parse` reads it.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(self.text(name)?);
        if value.is_none() {
            self.refuse(name, expected);
        }
        value
    }

    /// Returns the value, which there must be.
    pub(super) fn required(&mut self, name: &'static str, remedy: &'static str) -> Option<&'a str> {
        if self.typed.get(name).is_none() {
            let misspelled = self.notices.iter().find_map(|notice| match notice {
                Notice::Unknown { name: typed, origin, suggestion } if *suggestion == Some(name) => {
                    Some(ConfigError::Misspelled { name, typed: typed.clone(), origin: origin.clone() })
                }
                _ => None,
            });
            self.errors.push(misspelled.unwrap_or(ConfigError::Missing { name, remedy }));
        }
        self.text(name)
    }

    /// Keeps that the value of `name` cannot be used.
    pub(super) fn refuse(&mut self, name: &'static str, expected: &'static str) {
        let Some(Setting { won, .. }) = self.typed.get(name) else { return };
        let is_plain = key(name).is_some_and(|key| key.kind == Kind::Plain);
        let found = is_plain.then(|| won.value.expose_secret().to_owned());
        self.errors.push(ConfigError::Invalid { name, origin: won.origin.clone(), found, expected });
    }

    /// Keeps an error, once: a value may be read in several places.
    fn refuse_with(&mut self, error: ConfigError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Records an error, if there is one.
    pub(super) fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }
}
