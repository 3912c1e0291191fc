//! An answer that is not a success: the store's own error, or something else that answered in its place.

use http::{HeaderMap, StatusCode, header};

const CODE_CHARS_MAX: usize = 64;
const MESSAGE_CHARS_MAX: usize = 200;
const SERVER_CHARS_MAX: usize = 40;
const WORDS_CHARS_MAX: usize = 80;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The store's: an XML body that names an error of S3.
    #[error("HTTP status {status}, {code}: {message}")]
    Store {
        /// HTTP status.
        status: u16,
        /// S3's name of the error.
        code: String,
        /// The store's words.
        message: String,
    },
    /// Probably not the store's: a filter, a portal or a proxy may have answered. It says nothing about keys, buckets
    /// or objects.
    #[error("HTTP status {status} without an S3 error, from {server}{words}")]
    Stranger {
        /// HTTP status.
        status: u16,
        /// The server's name for itself.
        server: String,
        /// How its body starts, as the end of a sentence.
        words: String,
    },
}

impl Refusal {
    /// Reads an answer.
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let status = status.as_u16();
        if let Some(code) = error_code(body) {
            let message = tagged(body, "Message").unwrap_or_default();
            return Self::Store { status, code: code.to_owned(), message: cleaned(message, MESSAGE_CHARS_MAX) };
        }
        let server = headers.get(header::SERVER).and_then(|server| server.to_str().ok()).unwrap_or_default();
        let server = match cleaned(server, SERVER_CHARS_MAX) {
            unnamed if unnamed.is_empty() => "a server without a name".to_owned(),
            named => format!("a server that calls itself {named}"),
        };
        let words = match cleaned(&without_tags(body), WORDS_CHARS_MAX) {
            nothing if nothing.is_empty() => " with an empty body".to_owned(),
            words => format!(", which says {words:?}"),
        };
        Self::Stranger { status, server, words }
    }

    /// Returns the same with the request's proxy, which may have answered in the store's place.
    pub(super) fn by(mut self, route: &str) -> Self {
        if let Self::Stranger { words, .. } = &mut self {
            words.push_str(route);
        }
        self
    }

    /// Returns the HTTP status.
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Store { status, .. } | Self::Stranger { status, .. } => *status,
        }
    }
}

/// S3's name of the error, if the body is an XML document with one.
fn error_code(body: &str) -> Option<&str> {
    let body = body.trim_start_matches('\u{feff}').trim_start();
    let document = match body.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>")?.1.trim_start(),
        None => body,
    };
    let is_error = document.strip_prefix("<Error").is_some_and(|rest| rest.starts_with(['>', ' ', '\n', '\r', '\t']));
    let code = tagged(document, "Code").map(str::trim).filter(|_| is_error)?;
    let is_name = code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (is_name && (1..=CODE_CHARS_MAX).contains(&code.len())).then_some(code)
}

fn tagged<'a>(body: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once(&format!("</{tag}>"))?.0)
}

/// Returns the text of a page, so far as its first words are concerned.
fn without_tags(body: &str) -> String {
    // With a `>` in front, each part between two `<` is the end of a tag and the text after it.
    let page = format!(">{body}");
    let texts = page.split('<').filter_map(|part| Some(part.split_once('>')?.1));
    texts.collect::<Vec<_>>().join(" ").replace('>', " ")
}

/// Words with single spaces and no control characters, up to a number of characters.
fn cleaned(text: &str, chars_max: usize) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    let words = text.split(|c: char| !is_plain(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(status: u16, server: &str, body: &str) -> Refusal {
        let value = HeaderValue::from_bytes(server.as_bytes()).unwrap();
        let headers = [(header::SERVER, value)].into_iter().filter(|_| !server.is_empty());
        Refusal::read(StatusCode::from_u16(status).unwrap(), &headers.collect(), body)
    }

    #[test]
    fn a_store_names_its_error_in_a_document() {
        for body in [
            "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
            "<?xml version=\"1.0\"?>\n<Error><Code> AccessDenied </Code><Message>no</Message></Error>",
            "\u{feff}<?xml version='1.0'?><Error xmlns=\"x\"><Code>AccessDenied</Code><Message>no</Message></Error>",
        ] {
            let expected = Refusal::Store { status: 403, code: "AccessDenied".to_owned(), message: "no".to_owned() };
            assert_eq!(read(403, "R2", body), expected);
        }
    }

    #[test]
    fn anything_else_is_a_strangers() {
        for body in [
            "",
            "<!DOCTYPE html><html><body>Forbidden</body></html>",
            "<html><Error><Code>AccessDenied</Code></Error></html>",
            "{\"Code\": \"AccessDenied\"}",
            "<Error></Error>",
            "<Errors><Code>AccessDenied</Code></Errors>",
            "<Error><Code>&j;</Code></Error>",
            "<Error><Code></Code></Error>",
        ] {
            assert!(matches!(read(403, "", body), Refusal::Stranger { status: 403, .. }), "{body}");
        }
    }

    #[test]
    fn the_answering_server_is_shown_bounded_and_without_control_characters() {
        let page = "<html><head><title>One moment</title></head><body>Blocked by a filter</body></html>";
        let text = read(403, "cloud\u{9b}front", page).to_string();
        assert_eq!(
            text,
            "HTTP status 403 without an S3 error, from a server without a name, which says \"One moment Blocked by a \
             filter\""
        );
        let named = read(502, "nginx/1.2", "").to_string();
        assert!(named.ends_with("from a server that calls itself nginx/1.2 with an empty body"), "{named}");
        let hostile = format!("\u{1b}]0;x\u{7}{}\u{202e}\r\nERROR", "y".repeat(100_000));
        for text in [
            read(500, &"s".repeat(10_000), &hostile).to_string(),
            read(500, "", &format!("<Error><Code>X</Code><Message>{hostile}</Message></Error>")).to_string(),
        ] {
            assert!(text.len() < 400 && !text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
        }
    }
}
