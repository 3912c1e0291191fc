//! `.env` files, in the dialect of python-dotenv that the reference reads, with line numbers and without substitution.
//!
//! Crates that read this format lose the line, quote the whole line in their errors, and substitute from the process's
//! environment.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

/// A parsed file.
#[derive(Debug, Clone)]
pub struct EnvFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its assignments, in order.
    pub entries: Vec<Entry>,
}

/// One assignment.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The line where it begins, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The value, unquoted.
    pub value: SecretString,
}

/// Why a file is not usable. Nothing of its content is carried.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The file that was named does not exist.
    #[error(
        "there is no file {path}; correct --env-file, or copy .env.example there and fill it in",
        path = path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The operating system refuses to hand it out, or it is not UTF-8.
    #[error("{path} cannot be read; correct its permissions and save it as UTF-8", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A line is malformed.
    #[error(
        "{path}:{line}: {mistake}; write NAME=value, with quotes around a value that holds spaces or #",
        path = path.display()
    )]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        mistake: Mistake,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// There is no `=`.
    #[error("there is no `=`")]
    NoAssignment,
    /// Nothing before the `=`, or something that is no name.
    #[error("what stands before `=` is no name")]
    BadName,
    /// A quote that nothing closes.
    #[error("the quote that begins here is never closed")]
    OpenQuote,
    /// Something follows the closing quote.
    #[error("something follows the closing quote")]
    AfterQuote,
}

impl EnvFile {
    /// Read the file; `None` where there is none.
    ///
    /// # Errors
    /// [`EnvFileError`], with the line.
    pub fn read(path: &Path) -> Result<Option<Self>, EnvFileError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EnvFileError::Unreadable { path: path.to_owned(), source }),
        };
        Self::parse(path, &text).map(Some)
    }

    /// Parse the text of the file at `path`.
    ///
    /// # Errors
    /// [`EnvFileError::Syntax`] for the first malformed line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, EnvFileError> {
        let mut rest = Lines { text: text.strip_prefix('\u{feff}').unwrap_or(text), line: 0 };
        let mut entries = Vec::new();
        while let Some(content) = rest.next_line() {
            let line = rest.line;
            let syntax = |mistake| EnvFileError::Syntax { path: path.to_owned(), line, mistake };
            entries.extend(entry(line, content, &mut rest).map_err(syntax)?);
        }
        Ok(Self { path: path.to_owned(), entries })
    }
}

/// What is still to be read, and the number of the line read last.
struct Lines<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> Option<&'a str> {
        if self.text.is_empty() {
            return None;
        }
        let (line, rest) = self.text.split_once('\n').unwrap_or((self.text, ""));
        self.text = rest;
        self.line += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}

/// The assignment that begins on this line; a quoted value may take further lines.
fn entry(line: usize, content: &str, rest: &mut Lines<'_>) -> Result<Option<Entry>, Mistake> {
    let content = content.trim_start();
    if content.is_empty() || content.starts_with('#') {
        return Ok(None);
    }
    let content = content.strip_prefix("export ").unwrap_or(content);
    let (name, value) = content.split_once('=').ok_or(Mistake::NoAssignment)?;
    let name = name.trim().to_owned();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "'\"#".contains(c)) {
        return Err(Mistake::BadName);
    }
    let value = value.trim_start();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(quote, &value[1..], rest)?,
        _ => Zeroizing::new(unquoted(value).to_owned()),
    };
    Ok(Some(Entry { line, name, value: SecretString::from(value.as_str()) }))
}

/// Up to a comment, which whitespace sets apart.
fn unquoted(value: &str) -> &str {
    let comment = value
        .char_indices()
        .find(|(at, c)| *c == '#' && value[..*at].chars().next_back().is_none_or(char::is_whitespace));
    comment.map_or(value, |(at, _)| &value[..at]).trim_end()
}

fn quoted(quote: char, first: &str, rest: &mut Lines<'_>) -> Result<Zeroizing<String>, Mistake> {
    let mut value = Zeroizing::new(String::with_capacity(first.len()));
    let mut content = first;
    loop {
        let mut characters = content.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => unescape(quote, characters.next(), &mut value),
                c if c == quote => {
                    let after = characters.as_str().trim_start();
                    let is_closed = after.is_empty() || after.starts_with('#');
                    return if is_closed { Ok(value) } else { Err(Mistake::AfterQuote) };
                }
                c => value.push(c),
            }
        }
        value.push('\n');
        content = rest.next_line().ok_or(Mistake::OpenQuote)?;
    }
}

/// What follows a backslash; what is no escape stays as it is.
fn unescape(quote: char, next: Option<char>, value: &mut String) {
    match next {
        Some(c @ ('\\' | '\'')) => value.push(c),
        Some('"') if quote == '"' => value.push('"'),
        Some('n') if quote == '"' => value.push('\n'),
        Some('r') if quote == '"' => value.push('\r'),
        Some('t') if quote == '"' => value.push('\t'),
        other => {
            value.push('\\');
            value.extend(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn parsed(text: &str) -> Vec<(usize, String, String)> {
        let file = EnvFile::parse(Path::new(".env"), text).unwrap();
        let entries = file.entries.into_iter();
        entries.map(|entry| (entry.line, entry.name, entry.value.expose_secret().to_owned())).collect()
    }

    fn value(text: &str) -> String {
        parsed(text).remove(0).2
    }

    #[test]
    fn assignments_carry_their_line() {
        let text = "\u{feff}# a comment\r\n\r\nA=1\r\n  export B = two words \nC=\n";
        let expected = [(3, "A", "1"), (4, "B", "two words"), (5, "C", "")];
        assert_eq!(parsed(text), expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())));
    }

    #[test]
    fn comments_end_values_after_whitespace_alone() {
        assert_eq!(value("A=b # c"), "b");
        assert_eq!(value("A=b#c"), "b#c");
        assert_eq!(value("A=#c"), "");
        assert_eq!(value("A='b # c' # d"), "b # c");
    }

    #[test]
    fn quotes_keep_spaces_and_lines() {
        assert_eq!(value(r#"A=" b ""#), " b ");
        assert_eq!(value("A='b\\n\\'c\\\\'"), "b\\n'c\\");
        assert_eq!(value(r#"A="b\n\"c\" \d""#), "b\n\"c\" \\d");
        assert_eq!(parsed("A=\"b\nc\"\nD=e"), [(1, "A".into(), "b\nc".into()), (3, "D".into(), "e".into())]);
        assert_eq!(value("A=${HOME}/x"), "${HOME}/x");
    }

    #[test]
    fn mistakes_are_told_by_line_and_without_content() {
        let mistakes = [
            ("A=1\nplanted-secret", 2, "no `=`"),
            ("=planted-secret", 1, "no name"),
            ("planted secret=x", 1, "no name"),
            ("\n\nA='planted-secret\n", 3, "never closed"),
            ("A='planted-secret' x", 1, "follows"),
        ];
        for (text, line, what) in mistakes {
            let error = EnvFile::parse(Path::new("some/.env"), text).unwrap_err();
            let shown = error.to_string();
            assert!(shown.starts_with(&format!("some/.env:{line}: ")) && shown.contains(what), "{shown}");
            assert!(!format!("{shown}{error:?}").contains("planted"), "{error:?}");
        }
    }
}
