//! Removal of secrets from an archive.

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;

use grail_config::{EndpointUrl, Environment, RawConfig, Redacted};

/// Shorter values are too common to search for.
const CHARS_MIN: usize = 4;
/// A value as short as this may be in a tape by chance.
const REFUSED_CHARS_MIN: usize = 6;
const STAND_IN: &str = "[secret]";
const SCHEMES: [&str; 9] = ["http", "https", "ws", "wss", "socks", "socks4", "socks4a", "socks5", "socks5h"];

/// Finds every secret that was typed, in each form that it may be written in.
pub struct Redactor {
    forms: Vec<String>,
}

impl Redactor {
    /// Returns every hidden value of the configuration, ignored values included, and the secrets that libraries read in
    /// the environment: proxies with their passwords, the hub's token.
    pub fn of(typed: &RawConfig, environment: &Environment) -> Self {
        let candidates = typed.settings().flat_map(|(name, setting)| {
            [&setting.won].into_iter().chain(&setting.lost).map(move |candidate| (name, &candidate.value))
        });
        let mut secrets = Vec::new();
        for (name, value) in candidates {
            let text = value.expose_secret();
            if Redacted::of(name, value) != Redacted::Plain(text.to_owned()) {
                secrets.push(text.to_owned());
                secrets.extend(parts(text));
                secrets.extend(
                    grail_wallet::decoded_password(name, text).map(|password| password.expose_secret().to_owned()),
                );
            }
        }
        for (name, value) in environment {
            let text = value.expose_secret();
            if name.to_lowercase().ends_with("_proxy") {
                // Its scheme may be left out.
                let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
                secrets.extend(parts(&whole));
            } else if name == "HF_TOKEN" {
                secrets.push(text.to_owned());
            }
        }
        secrets.retain(|secret| secret.len() >= CHARS_MIN);
        let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms_of(secret)).collect();
        // A secret that contains another one is replaced first, or its rest would stay.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self { forms }
    }

    /// Returns the text without secrets.
    pub fn redacted(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), STAND_IN))
    }

    /// Checks that there is no secret that cannot be removed.
    ///
    /// # Errors
    /// If a secret is there.
    pub fn refuse(&self, text: &str) -> anyhow::Result<()> {
        let mut forms = self.forms.iter().filter(|form| form.len() >= REFUSED_CHARS_MIN);
        if forms.any(|form| text.contains(form.as_str())) {
            bail!(
                "the tape holds a secret of the configuration, so nothing is written; this is a defect, please report it"
            );
        }
        Ok(())
    }
}

/// Returns the secret parts of addresses in a list, and a login as HTTP sends it.
fn parts(text: &str) -> Vec<String> {
    let endpoints = text.split(',').filter_map(|address| EndpointUrl::parse(address.trim(), &SCHEMES));
    let parts = endpoints.flat_map(|endpoint| {
        let login = endpoint.login();
        let login = login.map(|(user, password)| STANDARD.encode(format!("{user}:{}", password.expose_secret())));
        endpoint.hidden_parts().into_iter().chain(login)
    });
    parts.collect()
}

/// Returns a secret in every form that programs write it in.
fn forms_of(secret: &str) -> Vec<String> {
    let hex = hex::encode(secret);
    let escaped = secret.escape_debug().to_string();
    let percent: String = secret
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let bytes = format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned();
    let base64 = [STANDARD.encode(secret), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    [secret.to_owned(), secret.to_uppercase(), hex.to_uppercase(), hex, escaped, percent, bytes]
        .into_iter()
        .chain(base64)
        .collect()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn every_secret_is_found_in_every_form_and_words_stay() {
        let environment: Environment = [
            ("R2_WRITE_SECRET_ACCESS_KEY", "planted/write+key"),
            ("GRAIL_ALERT_SLACK_URL", "https://hooks.slack.com/services/T0123ABCD/planted0Hook"),
            ("BT_CHAIN_ENDPOINT", "wss://node.example/v1/planted0Node, wss://user:planted0Chain@node.example"),
            ("HTTPS_PROXY", "user:planted%40proxy@proxy.example:3128"),
            ("HF_TOKEN", "planted0hub"),
            // base64 of `planted0wallet`, each byte XORed with the name's.
            ("BT_PW_A", "Mjg+PiM6JXIjPjw7OjU="),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .collect();
        let redactor = Redactor::of(&RawConfig::merge(&environment, None), &environment);
        let secrets = [
            "planted/write+key",
            "planted0Hook",
            "planted0Node",
            "planted0Chain",
            "planted@proxy",
            "planted0hub",
            "planted0wallet",
        ];
        for secret in secrets {
            for form in forms_of(secret) {
                let text = format!("services said {form}, and node.example {form}");
                assert_eq!(redactor.redacted(&text), "services said [secret], and node.example [secret]", "{form}");
                assert!(redactor.refuse(&text).is_err(), "{form}");
            }
        }
        let login = STANDARD.encode("user:planted@proxy");
        for text in [login.as_str(), "planted%40proxy", "planted%2Fwrite%2Bkey"] {
            assert!(!redactor.redacted(text).contains(text), "{text}");
        }
        assert!(redactor.refuse("services, hooks.slack.com, node.example, user").is_ok());
    }
}
