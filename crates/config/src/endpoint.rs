//! Addresses of servers, which may carry a provider's key and are shown without it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// An address. It shows scheme, host and port; user, path and query only as `…`.
#[derive(Clone)]
pub struct Endpoint {
    url: SecretString,
    shown: String,
}

impl Endpoint {
    /// The address in `text`, where it is one of these schemes and has a host.
    pub fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| schemes.contains(&url.scheme()))?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.username().is_empty();
        let rest = if is_bare { "" } else { "/…" };
        let shown = format!("{}://{host}{port}{rest}", url.scheme());
        Some(Self { url: SecretString::from(text.trim_end_matches('/')), shown })
    }

    /// The whole address, for whoever connects to it.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let shown = |text: &str| Endpoint::parse(text, &["ws", "wss"]).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("wss://node.example:8443").as_deref(), Some("wss://node.example:8443"));
        assert_eq!(shown("ws://127.0.0.1:9944/").as_deref(), Some("ws://127.0.0.1:9944"));
        for text in ["wss://u:planted@node.example", "wss://node.example/planted", "wss://node.example?key=planted"] {
            assert_eq!(shown(text).as_deref(), Some("wss://node.example/…"));
            assert_eq!(Endpoint::parse(text, &["wss"]).unwrap().expose(), text);
        }
        for text in ["https://node.example", "node.example:443", "", "wss://"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
