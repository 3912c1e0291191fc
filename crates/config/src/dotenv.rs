//! `.env` files, read as the reference's python-dotenv reads them, with line numbers and without substitution. A line
//! that it would skip with a warning is an error here, since it would lose a setting.
//!
//! Crates that read this format lose the line, quote the whole line in their errors, and substitute from the process's
//! environment.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use grail_wallet::{Inputs, is_there_once};

/// No file of variables is larger.
const BYTES_MAX: u64 = 1 << 20;

/// A parsed file.
#[derive(Debug, Clone)]
pub struct EnvFile {
    /// Its path.
    pub path: PathBuf,
    /// Its assignments, in order.
    pub entries: Vec<Entry>,
    /// Names that no `=` follows, which set nothing.
    pub bare: Vec<Bare>,
}

/// One assignment.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The line where it starts, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The value, unquoted.
    pub value: SecretString,
    /// White space around the value that does not look like a space, and was left out as spaces are.
    pub left_out: Option<char>,
}

/// A name without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bare {
    /// The line, from 1.
    pub line: usize,
    /// The name, which may be a part of a secret that was wrapped.
    pub name: String,
}

/// Why a file cannot be used. Holds nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The file that was named does not exist.
    #[error("no file {path}; correct --env-file, or copy .env.example there and fill it in")]
    Missing {
        /// The path that was tried.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("{path}:{line}: the file is not UTF-8 from here on; save it as UTF-8 text")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The first line that is no text, from 1.
        line: usize,
    },
    /// The operating system refuses to hand it out.
    #[error("{path} cannot be read; correct its permissions, or name another file with --env-file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A line is malformed.
    #[error("{path}:{line}: {mistake}; write NAME=value, with quotes around a value that holds spaces or #")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem.
        mistake: Mistake,
    },
}

impl EnvFileError {
    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Encoding { path, .. }
            | Self::Unreadable { path, .. }
            | Self::Syntax { path, .. } => path,
        }
    }
}

/// A mistake in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// There is no `=`.
    #[error("there is no `=`")]
    NoAssignment,
    /// Nothing before the `=`, or something that is not a name.
    #[error("the text before `=` is not a name")]
    BadName,
    /// An unclosed quote.
    #[error("the quote that starts here is never closed")]
    OpenQuote,
    /// Something follows the closing quote.
    #[error("text follows the closing quote")]
    AfterQuote,
}

impl EnvFile {
    /// Reads the file; `None` if there is none. Files in `inputs` are not read again; files that are read are kept
    /// there.
    ///
    /// # Errors
    /// [`EnvFileError`], with the line.
    pub fn read(path: &Path, inputs: &Inputs) -> Result<Option<Self>, EnvFileError> {
        let unreadable = |source| EnvFileError::Unreadable { path: path.to_owned(), source };
        let content = match inputs.held(path) {
            Some(held) => held,
            None => content(path, inputs).map_err(unreadable)?,
        };
        let Some(content) = content else { return Ok(None) };
        let text = std::str::from_utf8(&content).map_err(|error| {
            let line = 1 + content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            EnvFileError::Encoding { path: path.to_owned(), line }
        })?;
        Self::parse(path, text).map(Some)
    }

    /// Parses the text of the file at `path`.
    ///
    /// # Errors
    /// [`EnvFileError::Syntax`] for the first malformed line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, EnvFileError> {
        // As Python opens text files.
        let text = Zeroizing::new(text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n"));
        let text = Zeroizing::new(text.replace('\r', "\n"));
        let mut rest = Rest { text: &text, line: 1 };
        let mut file = Self { path: path.to_owned(), entries: Vec::new(), bare: Vec::new() };
        loop {
            rest.take_while(is_space);
            if rest.text.is_empty() {
                return Ok(file);
            }
            let line = rest.line;
            let syntax = |mistake| EnvFileError::Syntax { path: path.to_owned(), line, mistake };
            match binding(&mut rest).map_err(syntax)? {
                None => {}
                Some((name, None)) => file.bare.push(Bare { line, name }),
                Some((name, Some(Value { text, left_out }))) => {
                    let value = SecretString::from(text.as_str());
                    file.entries.push(Entry { line, name, value, left_out });
                }
            }
        }
    }
}

/// Returns the content of a file; none if there is no file.
fn content(path: &Path, inputs: &Inputs) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            inputs.keep(path, None, false);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let is_once = is_there_once(path, &file.metadata()?);
    // Reserved as a whole, because a buffer that grows leaves copies behind that nobody wipes.
    let mut content = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize + 1));
    file.take(BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    inputs.keep(path, Some(&content), is_once);
    Ok(Some(content))
}

/// The unread rest, with the number of the line where it starts.
struct Rest<'a> {
    text: &'a str,
    line: usize,
}

/// A value as it is intended.
struct Value {
    text: Zeroizing<String>,
    left_out: Option<char>,
}

impl<'a> Rest<'a> {
    fn peek(&self) -> Option<char> {
        self.text.chars().next()
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.text.split_at(bytes);
        self.text = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    fn take_while(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        self.take(self.text.find(|c| !holds(c)).unwrap_or(self.text.len()))
    }

    /// `export` with white space behind it, where the line starts so.
    fn skip_export(&mut self) {
        let Some(after) = self.text.strip_prefix("export") else { return };
        if after.starts_with(is_blank) {
            self.take("export".len());
            self.take_while(is_blank);
        }
    }
}

/// White space as Python defines it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}

/// Returns the assignment that starts here, or the name alone; a quoted value may take further lines. None for a
/// comment.
fn binding(rest: &mut Rest<'_>) -> Result<Option<(String, Option<Value>)>, Mistake> {
    rest.skip_export();
    let name = match rest.peek() {
        Some('#') => None,
        _ => Some(name(rest)?),
    };
    rest.take_while(is_blank);
    let (value, mistake) = match rest.peek() {
        Some('=') => (Some(value(rest)?), Mistake::AfterQuote),
        _ => (None, Mistake::NoAssignment),
    };
    rest.take_while(is_blank);
    if rest.peek() == Some('#') {
        rest.take_while(|c| c != '\n');
    }
    match rest.peek() {
        None | Some('\n') => Ok(name.map(|name| (name, value))),
        Some(_) => Err(mistake),
    }
}

fn name(rest: &mut Rest<'_>) -> Result<String, Mistake> {
    let name = if rest.peek() == Some('\'') {
        rest.take(1);
        let name = rest.take_while(|c| !matches!(c, '\'' | '\n'));
        (rest.peek() == Some('\'')).then(|| rest.take(1)).ok_or(Mistake::BadName)?;
        name
    } else {
        rest.take_while(|c| !is_space(c) && !matches!(c, '=' | '#'))
    };
    // Python takes double quotes as part of the name, so it sets another variable.
    if name.is_empty() || name.contains('"') { Err(Mistake::BadName) } else { Ok(name.to_owned()) }
}

fn value(rest: &mut Rest<'_>) -> Result<Value, Mistake> {
    rest.take(1);
    let blanks = rest.take_while(is_blank);
    let odd = |blanks: &str| blanks.chars().find(|c| !matches!(c, ' ' | '\t'));
    match rest.peek() {
        Some(quote @ ('\'' | '"')) => Ok(Value { text: quoted(quote, rest)?, left_out: odd(blanks) }),
        // A comment; `NAME=#value` is none.
        Some('#') if !blanks.is_empty() => Ok(Value { text: Zeroizing::default(), left_out: None }),
        _ => {
            let whole = uncommented(rest.take_while(|c| c != '\n'));
            let text = whole.trim_end_matches(is_space);
            let left_out = odd(blanks).or_else(|| odd(&whole[text.len()..]));
            Ok(Value { text: Zeroizing::new(text.to_owned()), left_out })
        }
    }
}

/// Up to a comment, which white space sets apart.
fn uncommented(value: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| value[..*at].ends_with(is_space);
    value.match_indices('#').find(is_comment).map_or(value, |(at, _)| &value[..at])
}

fn quoted(quote: char, rest: &mut Rest<'_>) -> Result<Zeroizing<String>, Mistake> {
    let mut value = Zeroizing::new(String::with_capacity(rest.text.len()));
    let mut characters = rest.text[1..].chars();
    loop {
        match characters.next().ok_or(Mistake::OpenQuote)? {
            '\\' => unescape(quote, characters.next().ok_or(Mistake::OpenQuote)?, &mut value),
            c if c == quote => break,
            c => value.push(c),
        }
    }
    rest.take(rest.text.len() - characters.as_str().len());
    Ok(value)
}

/// Appends the character that an escape means; anything else stays as it is.
fn unescape(quote: char, next: char, value: &mut String) {
    let meant = match (quote, next) {
        (_, '\\' | '\'') | ('"', '"') => next,
        ('"', 'a') => '\u{7}',
        ('"', 'b') => '\u{8}',
        ('"', 'f') => '\u{c}',
        ('"', 'n') => '\n',
        ('"', 'r') => '\r',
        ('"', 't') => '\t',
        ('"', 'v') => '\u{b}',
        _ => {
            value.push('\\');
            next
        }
    };
    value.push(meant);
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
        assert_eq!(value("A=#c"), "#c");
        assert_eq!(value("A= #c"), "");
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
    fn invisible_white_space_is_remembered() {
        let file = EnvFile::parse(Path::new(".env"), "A=b\u{a0}\nB= \u{3000}b\nC=b\t # c\nD='b' \n").unwrap();
        let left_out: Vec<Option<char>> = file.entries.iter().map(|entry| entry.left_out).collect();
        assert_eq!(left_out, [Some('\u{a0}'), Some('\u{3000}'), None, None]);
        assert!(file.entries.iter().all(|entry| entry.value.expose_secret() == "b"));
    }

    /// Each form as python-dotenv itself read it: `fixtures/dotenv`.
    #[test]
    fn every_form_is_read_as_python_reads_it() {
        #[derive(serde::Deserialize)]
        struct Recorded {
            forms: Vec<Form>,
        }
        #[derive(serde::Deserialize)]
        struct Form {
            text: String,
            entries: Vec<(usize, String, Option<String>)>,
            unreadable: Vec<usize>,
        }
        let recorded: Recorded = serde_json::from_str(include_str!("../../../fixtures/dotenv/forms.json")).unwrap();
        assert!(recorded.forms.len() > 700, "{} forms", recorded.forms.len());
        for Form { text, entries, unreadable } in recorded.forms {
            match (EnvFile::parse(Path::new(".env"), &text), unreadable.first()) {
                (Err(EnvFileError::Syntax { line, .. }), Some(first)) => assert_eq!(line, *first, "{text:?}"),
                // The one form that is refused although Python sets something: it sets an unintended name.
                (Err(error), None) => assert_eq!(text, "\"A\"=1", "{error}"),
                (Ok(file), None) => {
                    let valued = file.entries.into_iter();
                    let valued = valued.map(|e| (e.line, e.name, Some(e.value.expose_secret().to_owned())));
                    let mut found: Vec<_> =
                        valued.chain(file.bare.into_iter().map(|b| (b.line, b.name, None))).collect();
                    found.sort();
                    assert_eq!(found, entries, "{text:?}");
                }
                (outcome, expected) => panic!("{text:?}: {outcome:?}, {expected:?}"),
            }
        }
    }

    #[test]
    fn mistakes_are_reported_by_line_and_without_content() {
        let mistakes = [
            ("A=1\nplanted secret", 2, "no `=`"),
            ("=planted-secret", 1, "not a name"),
            ("\"planted\"=secret", 1, "not a name"),
            ("'planted=secret", 1, "not a name"),
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
