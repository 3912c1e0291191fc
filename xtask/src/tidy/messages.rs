//! docs/messages.md: every message of every error type, so that whoever meets one finds where it comes from.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::Finding;
use super::tree::{self, TreeFile};

const PAGE: &str = "docs/messages.md";
const REMEDY: &str = "run `cargo xtask messages`";
const OPENING: &str = "# Every message

All that the program can say when something is wrong, by where it comes from; written by `cargo xtask messages`. What stands in braces is filled in, and may itself be a message from this list. What stands behind the semicolon or the colon is what to do. [troubleshooting.md](troubleshooting.md) goes by symptom.
";
const ATTRIBUTE: &str = "#[error(";

/// Write the page.
pub(crate) fn record(root: &Path) -> anyhow::Result<bool> {
    let page = page(&tree::read(root)?);
    std::fs::write(root.join(PAGE), page).with_context(|| format!("{PAGE} cannot be written"))?;
    Ok(true)
}

pub(super) fn findings(files: &[TreeFile]) -> Option<Finding> {
    let recorded = files.iter().find(|file| file.path == PAGE).and_then(|file| file.text.as_deref());
    (recorded != Some(&page(files))).then(|| Finding::new(PAGE, 1, "a message is missing or has changed", REMEDY))
}

fn page(files: &[TreeFile]) -> String {
    let mut page = OPENING.to_owned();
    for file in files.iter().filter(|file| is_shipped(&file.path)) {
        let messages = file.rust().map(messages).unwrap_or_default();
        if !messages.is_empty() {
            let _ = write!(page, "\n## [{0}](../{0})\n", file.path);
            messages.iter().for_each(|message| page.push_str(&format!("- `{message}`\n")));
        }
    }
    page
}

/// Whether a file is part of the program, not of its tests and chores.
fn is_shipped(path: &str) -> bool {
    ["src/", "crates/", "sim/src/"].iter().any(|folder| path.starts_with(folder)) && !path.contains("/tests")
}

/// The messages of the error types in a Rust source, as they are typed but for line breaks.
fn messages(text: &str) -> Vec<String> {
    let attributes = text.split(ATTRIBUTE).skip(1);
    // What holds no text hands on the message of another error.
    let literals = attributes.filter_map(|rest| rest.trim_start().strip_prefix('"')).map(literal);
    literals.filter(|message| message.chars().any(char::is_alphabetic)).collect()
}

/// A string literal from behind its opening quote, its escapes resolved.
fn literal(rest: &str) -> String {
    let mut message = String::new();
    let mut rest = rest.chars().peekable();
    while let Some(next) = rest.next().filter(|next| *next != '"') {
        match (next, rest.peek()) {
            ('\\', Some('\n')) => while rest.next_if(|space| space.is_whitespace()).is_some() {},
            ('\\', Some('n')) => {
                rest.next();
                message.push(' ');
            }
            ('\\', _) => message.extend(rest.next()),
            _ => message.push(next),
        }
    }
    message.replace("{{", "{").replace("}}", "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_the_compiler_reads_them() {
        #[derive(Debug, thiserror::Error)]
        enum Sample {
            #[error(
                "a \"quoted\" word, \
                     broken; write `{{`"
            )]
            Plain,
            #[error("one on a line of its own")]
            OnItsOwn,
            #[error("{0}")]
            Handed(String),
        }
        let printed = [Sample::Plain, Sample::OnItsOwn, Sample::Handed(String::new())].map(|error| error.to_string());
        let read = messages(include_str!("messages.rs"));
        for message in printed.iter().filter(|message| !message.is_empty()) {
            assert!(read.contains(message), "{message} is not among {read:?}");
        }
        assert!(!read.contains(&"{0}".to_owned()));
    }

    #[test]
    fn a_page_that_lacks_a_message_is_found() {
        let source = |text: &str| TreeFile { path: "src/error.rs".to_owned(), text: Some(text.to_owned()) };
        let with = |message: &str| vec![source(&format!("{ATTRIBUTE}\"{message}\")]"))];
        let mut files = with("the disk is full; free some");
        files.push(TreeFile { path: PAGE.to_owned(), text: Some(page(&files)) });
        assert!(findings(&files).is_none());
        files[0] = with("the disk is fuller; free more").remove(0);
        assert!(findings(&files).is_some());
    }
}
