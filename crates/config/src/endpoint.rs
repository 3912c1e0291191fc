//! Addresses of servers, which may carry a provider's key and are shown without it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Shorter parts of an address are not keys.
const KEY_CHARS_MIN: usize = 8;

/// An address. It shows scheme, host and port; user, path and query only as `…`.
#[derive(Clone)]
pub struct EndpointUrl {
    url: SecretString,
    shown: String,
}

impl EndpointUrl {
    /// Returns the address in `text`, where it is one of these schemes and has a host.
    pub fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| schemes.contains(&url.scheme()))?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.username().is_empty();
        let rest = if is_bare { "" } else { "/…" };
        let shown = format!("{}://{host}{port}{rest}", url.scheme());
        Some(Self { url: SecretString::from(text.trim_end_matches('/')), shown })
    }

    /// User and password, decoded.
    pub fn login(&self) -> Option<(String, SecretString)> {
        let url = Url::parse(self.expose()).ok()?;
        let meant = |text: &str| {
            let text = format!("a={}", text.replace('+', "%2B"));
            url::form_urlencoded::parse(text.as_bytes()).map(|(_, value)| value.into_owned()).collect::<String>()
        };
        Some((meant(url.username()), SecretString::from(meant(url.password()?))))
    }

    /// Returns the hidden parts: the password, and parts that look like keys.
    pub fn hidden_parts(&self) -> Vec<String> {
        let Ok(url) = Url::parse(self.expose()) else { return Vec::new() };
        let path = url.path_segments().into_iter().flatten().map(str::to_owned);
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let keys = path.chain(query).chain([url.username().to_owned()]).filter(|part| is_like_a_key(part));
        let password = self.login().map(|(_, password)| password.expose_secret().to_owned());
        url.password().map(str::to_owned).into_iter().chain(password).chain(keys).collect()
    }

    /// Returns the whole address, for anyone who connects to it.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

/// Returns whether a part of an address is not a word, as the names of interfaces are.
fn is_like_a_key(part: &str) -> bool {
    let is_word = part.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_' | b'.'));
    part.len() >= KEY_CHARS_MIN && (!is_word || part.len() >= 2 * KEY_CHARS_MIN)
}

impl PartialEq for EndpointUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let shown = |text: &str| EndpointUrl::parse(text, &["ws", "wss"]).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("wss://node.example:8443").as_deref(), Some("wss://node.example:8443"));
        assert_eq!(shown("ws://127.0.0.1:9944/").as_deref(), Some("ws://127.0.0.1:9944"));
        for text in ["wss://u:planted@node.example", "wss://node.example/planted", "wss://node.example?key=planted"] {
            assert_eq!(shown(text).as_deref(), Some("wss://node.example/…"));
            assert_eq!(EndpointUrl::parse(text, &["wss"]).unwrap().expose(), text);
        }
        let hidden = |text: &str| EndpointUrl::parse(text, &["https"]).unwrap().hidden_parts();
        let slack = "https://hooks.slack.com/services/T0123ABCD/B0123ABCD/planted0Key";
        assert_eq!(hidden(slack), ["T0123ABCD", "B0123ABCD", "planted0Key"]);
        let parts = hidden("https://us%65r:p%40ss+word@node.example/webhooks/v2?apikey=0123456789&x=1");
        assert_eq!(parts, ["p%40ss+word", "p@ss+word", "0123456789"]);
        assert_eq!(hidden("https://0123456789abcdef@node.example"), ["0123456789abcdef"]);
        for text in ["https://node.example", "node.example:443", "", "wss://"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
