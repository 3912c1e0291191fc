//! Proxies, by the variables that curl and Python's clients read.
//!
//! `HTTPS_PROXY` serves https and wss, `HTTP_PROXY` http and ws, `ALL_PROXY` everything else. The name in lower case
//! comes first, as Python has it. `NO_PROXY` lists hosts that are reached directly, and this machine always is.

use std::fmt;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use url::Host;

/// Schemes of proxies. `socks` alone is what desktops write for the newest version.
const SCHEMES: [&str; 7] = ["http", "https", "socks", "socks4", "socks4a", "socks5", "socks5h"];
const SOCKS_PORT: u16 = 1080;
/// Refuses every connection, because a request meant for a proxy must not go without one.
const NOBODY: &str = "http://127.0.0.1:0";

/// Rules that choose a proxy for an address.
pub struct Proxies {
    plain: Option<Proxy>,
    encrypted: Option<Proxy>,
    /// Knows the hosts that are excepted.
    exceptions: Matcher,
}

/// A proxy, and the variable that names it. Its address may hold a password, which is not shown.
#[derive(Clone)]
pub struct Proxy {
    variable: &'static str,
    /// None if the variable holds no proxy's address.
    url: Option<Url>,
}

impl Proxies {
    /// Returns those of this process's environment.
    pub fn of_process() -> Self {
        // Bytes that are no text become an address that names no proxy, and that is reported.
        Self::of(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }

    /// Returns those that these variables name.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &'static str| {
            let text = variable(name).map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty()).map(|text| (name, text))
        };
        let proxy = |names: [&'static str; 2]| {
            let (variable, text) = names.into_iter().find_map(set)?;
            Some(Proxy { variable, url: address(&text) })
        };
        let all = proxy(["all_proxy", "ALL_PROXY"]);
        let excepted = ["no_proxy", "NO_PROXY"].into_iter().find_map(set).map_or_else(String::new, |(_, text)| text);
        let excepted: Vec<&str> = excepted.split(',').map(without_extras).collect();
        Self {
            plain: proxy(["http_proxy", "HTTP_PROXY"]).or_else(|| all.clone()),
            encrypted: proxy(["https_proxy", "HTTPS_PROXY"]).or(all),
            exceptions: Matcher::builder().http(NOBODY).no(excepted.join(",")).build(),
        }
    }

    /// Returns the proxy through which an address is reached; none if it is reached directly.
    pub fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "http" | "ws" => self.plain.as_ref(),
            "https" | "wss" => self.encrypted.as_ref(),
            _ => None,
        };
        proxy.filter(|_| !is_this_machine(url) && !self.excepts(url))
    }

    fn excepts(&self, url: &Url) -> bool {
        let host = format!("http://{}/", url.host_str().unwrap_or_default());
        host.parse().is_ok_and(|uri| self.exceptions.intercept(&uri).is_none())
    }
}

impl Proxy {
    /// Returns the variable that names it.
    pub const fn variable(&self) -> &'static str {
        self.variable
    }

    /// Returns whether the variable holds the address of a proxy.
    pub const fn is_usable(&self) -> bool {
        self.url.is_some()
    }

    /// Returns its address, with user and password.
    pub fn url(&self) -> Url {
        self.url.clone().unwrap_or_else(|| NOBODY.parse().expect("a constant address"))
    }

    /// Returns the address and credentials, apart, for anyone who speaks with it.
    pub fn intercept(&self) -> Option<Intercept> {
        let somewhere = "https://somewhere.invalid/".parse().ok()?;
        Matcher::builder().all(self.url.as_ref()?.as_str()).build().intercept(&somewhere)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, url } = self;
        let Some(url) = url else {
            return write!(f, "{variable} is not the address of a proxy, such as http://HOST:PORT");
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "through the proxy {}://{}{port} of {variable}", url.scheme(), url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Returns the address of a proxy, which may lack its scheme.
fn address(text: &str) -> Option<Url> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // The parser would drop or encode whatever else a text holds.
    let url = Url::parse(&whole).ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
    url.host_str().filter(|host| !host.is_empty() && SCHEMES.contains(&url.scheme()))?;
    let mut url = if url.scheme() == "socks" { Url::parse(&whole.replacen("socks", "socks5h", 1)).ok()? } else { url };
    if url.scheme().starts_with("socks") && url.port().is_none() {
        url.set_port(Some(SOCKS_PORT)).ok()?;
    }
    Some(url)
}

/// Returns an entry of `NO_PROXY` without what other programs allow there: a star before the domain, a port behind it.
fn without_extras(entry: &str) -> &str {
    let entry = entry.trim();
    let entry = entry.strip_prefix('*').filter(|domain| domain.starts_with('.')).unwrap_or(entry);
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => entry.trim_start_matches('[').trim_end_matches(']'),
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let is_mapped = address.to_ipv4_mapped().is_some_and(|address| address.is_loopback());
            address.is_loopback() || address.is_unspecified() || is_mapped
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the proxy of an address, as text.
    fn route(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Proxies::of(variable).for_url(&url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let everything = [("HTTP_PROXY", "http://proxy:1"), ("HTTPS_PROXY", "no address"), ("all_proxy", "socks5://p")];
        for url in [
            "http://127.0.0.1:9000",
            "ws://127.9.8.7",
            "https://localhost:1",
            "https://LOCALHOST./",
            "wss://node.localhost",
            "http://[::1]:80",
            "http://[::ffff:127.0.0.1]",
            "http://0.0.0.0:9",
        ] {
            assert_eq!(route(&everything, url), None, "{url}");
        }
        assert!(route(&everything, "http://127.0.0.1.example").is_some());
    }

    #[test]
    fn each_scheme_has_its_variable_and_lower_case_comes_first() {
        let both =
            [("HTTP_PROXY", "http://plain:1"), ("HTTPS_PROXY", "http://encrypted:2"), ("ALL_PROXY", "http://all:3")];
        let named = |number: &str, variable: &str| Some(format!("through the proxy http://{number} of {variable}"));
        for url in ["http://a.example", "ws://a.example"] {
            assert_eq!(route(&both, url), named("plain:1", "HTTP_PROXY"));
            assert_eq!(route(&both[1..], url), named("all:3", "ALL_PROXY"));
        }
        for url in ["https://a.example", "wss://a.example"] {
            assert_eq!(route(&both, url), named("encrypted:2", "HTTPS_PROXY"));
            assert_eq!(
                route(&[&both[..], &[("https_proxy", "lower:4")]].concat(), url),
                named("lower:4", "https_proxy")
            );
            assert_eq!(route(&[("HTTPS_PROXY", " ")], url), None);
        }
    }

    #[test]
    fn excepted_hosts_are_reached_directly() {
        let excepted = |list: &str, url: &str| route(&[("ALL_PROXY", "p:1"), ("NO_PROXY", list)], url).is_none();
        for (list, url) in [
            ("*", "https://a.example"),
            ("b.example, a.example", "https://a.example:443/x"),
            (".example", "wss://a.example"),
            ("*.example", "wss://a.example"),
            ("a.example:443", "https://a.example"),
            ("10.0.0.0/8", "http://10.1.2.3:9000"),
            ("[fd00::1]", "http://[fd00::1]:9000"),
        ] {
            assert!(excepted(list, url), "{list} and {url}");
        }
        for (list, url) in
            [("", "https://a.example"), ("ample", "https://a.example"), ("10.0.0.0/8", "http://11.1.2.3")]
        {
            assert!(!excepted(list, url), "{list} and {url}");
        }
    }

    #[test]
    fn proxies_are_shown_without_their_password_and_invalid_ones_are_reported() {
        let shown = |text: &str| route(&[("ALL_PROXY", text)], "https://a.example").unwrap();
        for (text, expected) in [
            ("http://planted:planted@proxy.example:3128/planted", "http://proxy.example:3128"),
            ("planted:planted@proxy.example:3128", "http://proxy.example:3128"),
            ("socks://planted@127.0.0.1", "socks5h://127.0.0.1:1080"),
            ("socks5://127.0.0.1:9", "socks5://127.0.0.1:9"),
        ] {
            assert_eq!(shown(text), format!("through the proxy {expected} of ALL_PROXY"));
        }
        for text in ["not a url", "ftp://proxy:21", "http://", "http://pro\u{200b}xy:1", "“http://proxy:1”"] {
            assert!(shown(text).starts_with("ALL_PROXY is not the address of a proxy"), "{text}: {}", shown(text));
        }
        let proxies = Proxies::of(|name| (name == "ALL_PROXY").then(|| "http://user:planted@proxy".to_owned()));
        assert!(!format!("{:?}", proxies.plain).contains("planted"));
        let intercept = proxies.plain.unwrap().intercept().unwrap();
        assert_eq!(intercept.basic_auth().unwrap(), "Basic dXNlcjpwbGFudGVk");
    }
}
