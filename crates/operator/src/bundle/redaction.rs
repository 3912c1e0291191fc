//! What must not be in an archive.

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use grail_config::{Shown, TypedConfig};

/// Shorter values are too common to be looked for.
const CHARS_MIN: usize = 6;
const STAND_IN: &str = "[secret]";

/// Finds every secret that was typed, in each form that it may be written in.
#[derive(Default)]
pub struct Redactor {
    forms: Vec<String>,
}

impl Redactor {
    /// Everything in the configuration that is not shown as it is, what lost against another value, too.
    pub fn of(typed: &TypedConfig) -> Self {
        let candidates = typed.settings().flat_map(|(name, setting)| {
            [&setting.won].into_iter().chain(&setting.lost).map(move |candidate| (name, &candidate.value))
        });
        let mut forms = Vec::new();
        for (name, value) in candidates {
            let text = value.expose_secret();
            let is_shown = Shown::of(name, value) == Shown::Plain(text.to_owned());
            if !is_shown && text.len() >= CHARS_MIN {
                let hex = hex::encode(text);
                forms.extend([text.to_owned(), hex.to_uppercase(), hex, STANDARD.encode(text), bytes_shown(text)]);
            }
        }
        // A secret that holds another one goes first, or its rest would stay.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self { forms }
    }

    /// The text without secrets.
    pub fn redacted(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), STAND_IN))
    }

    /// See that nothing is there which cannot be taken out.
    ///
    /// # Errors
    /// Where a secret is there.
    pub fn refuse(&self, text: &str) -> anyhow::Result<()> {
        if self.forms.iter().any(|form| text.contains(form.as_str())) {
            bail!(
                "the tape holds a secret of the configuration, so nothing is written; this is a defect, please report it"
            );
        }
        Ok(())
    }
}

/// Bytes as Rust shows them.
fn bytes_shown(text: &str) -> String {
    format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned()
}
