//! Every message of an error type names its remedy: what failed, then `; ` or `: `, then what to do.

use super::Finding;
use super::tree::TreeFile;

const ATTRIBUTE: &str = "#[error(";

/// Messages that another message embeds, which then names the remedy. A message that is no longer in its file is found.
const PARTS: [(&str, &[&str]); 15] = [
    (
        "crates/config/src/dotenv.rs",
        &[
            "there is no `=`",
            "the text before `=` is not a name",
            "the quote that starts here is never closed",
            "text follows the closing quote",
        ],
    ),
    ("crates/engine/src/error.rs", &["unsupported safetensor dtype {0:?}"]),
    (
        "crates/hub/src/download.rs",
        &["status {0}", "the answer's {0} is missing or unusable", "the model changed during the download"],
    ),
    (
        "crates/live/src/beacon/relay.rs",
        &[
            "no answer in time",
            "no connection ({0})",
            "HTTP status {0}",
            "an answer of more than {ANSWER_BYTES_MAX} bytes",
            "a malformed answer ({0})",
            "round {found} instead of {asked}",
            "a signature that does not verify",
            "randomness that is not the hash of the signature",
        ],
    ),
    ("crates/live/src/bucket/refusal.rs", &["HTTP status {status} without an S3 error, from {server}{words}"]),
    (
        "crates/live/src/bucket/transport.rs",
        &["the object there has more than {bytes_max} bytes", "the answer names no version of the object (ETag)"],
    ),
    (
        "crates/folder/src/frames.rs",
        &[
            "it does not start like such a file",
            "its header is damaged",
            "it has format {found}, and this release reads format {supported}",
            "the record at byte {offset} is damaged, and intact ones follow it",
        ],
    ),
    ("crates/observe/src/wandb/service.rs", &["the service refuses rows ({0})"]),
    ("crates/operator/src/doctor/chain.rs", &["no head within {call_ms} ms"]),
    (
        "crates/operator/src/doctor/model.rs",
        &[
            "{} cannot be read ({source})",
            "{} is not an index of weights",
            "no folder {model:?}, and no model of that name in the hub's cache",
        ],
    ),
    ("crates/protocol/src/budget.rs", &["it needs more than {} MiB of memory"]),
    (
        "crates/protocol/src/window_file/gzip.rs",
        &[
            "no gzip member starts at byte {offset}",
            "the gzip member at byte {offset} has compression method {method}, and only 8 is known",
            "the gzip member at byte {offset} is incomplete",
            "the compressed data of the gzip member at byte {offset} is damaged",
            "the checksum of the gzip member at byte {offset} does not match its content",
            "the length of the gzip member at byte {offset} does not match its content",
            "it unpacks to more than {} MiB",
        ],
    ),
    ("crates/serve/src/bucket.rs", &["the connection is closed instead of an answer"]),
    (
        "crates/wallet/src/error.rs",
        &["it is not hexadecimal", "it has {found} bytes, not {expected}", "its bytes are not an sr25519 key"],
    ),
    (
        "crates/wallet/src/phrase.rs",
        &[
            "its word {0} is not in the English list of BIP-39",
            "its checksum does not match, so a word is wrong or misplaced",
        ],
    ),
];

pub(super) fn findings(files: &[TreeFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_shipped(&file.path)) {
        let messages = file.rust().map(messages).unwrap_or_default();
        let parts = PARTS.iter().find(|(path, _)| *path == file.path).map_or(&[][..], |(_, parts)| parts);
        for message in messages.iter().filter(|message| !has_remedy(message) && !parts.contains(&message.as_str())) {
            let what = format!("the message {message:?} names no remedy");
            let remedy = "write `; ` and an imperative behind it, or list it in xtask/src/tidy/messages.rs";
            findings.push(Finding::new(&file.path, 1, what, remedy));
        }
        for part in parts.iter().filter(|part| !messages.iter().any(|message| message == *part)) {
            let what = format!("the message {part:?} is gone");
            findings.push(Finding::new(&file.path, 1, what, "remove it from xtask/src/tidy/messages.rs"));
        }
    }
    findings
}

/// Returns whether something follows `; ` or `: `, or the message is only that of another error.
fn has_remedy(message: &str) -> bool {
    let text =
        message.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, rest)| rest)).collect::<String>();
    let is_own = text.chars().any(char::is_alphabetic);
    !is_own || ["; ", ": "].iter().any(|mark| message.split_once(mark).is_some_and(|(_, rest)| !rest.is_empty()))
}

/// Returns whether a file is part of the program, not of its tests and chores.
fn is_shipped(path: &str) -> bool {
    ["src/", "crates/", "sim/src/"].iter().any(|folder| path.starts_with(folder)) && !path.contains("/tests")
}

/// Returns the messages of the error types in a Rust source, as typed, without line breaks.
fn messages(text: &str) -> Vec<String> {
    let attributes = text.split(ATTRIBUTE).skip(1);
    // A variant without a text passes on the message of another error.
    let literals = attributes.filter_map(|rest| rest.trim_start().strip_prefix('"')).map(literal);
    literals.filter(|message| message.chars().any(char::is_alphabetic)).collect()
}

/// Returns a string literal from behind its opening quote, its escapes resolved.
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
    fn a_message_without_a_remedy_and_a_part_that_is_gone_are_found() {
        let file = |path: &str, message: &str| TreeFile {
            path: path.to_owned(),
            text: Some(format!("{ATTRIBUTE}\"{message}\")]")),
        };
        let found = |path: &str, message: &str| findings(&[file(path, message)]).len();
        assert_eq!(found("src/error.rs", "the disk is full; free some"), 0);
        assert_eq!(found("src/error.rs", "{path}: {0}"), 0, "another error's message");
        assert_eq!(found("src/error.rs", "the disk is full"), 1);
        assert_eq!(found("crates/live/tests/it/error.rs", "the disk is full"), 0, "tests may say what they like");
        assert_eq!(found("crates/observe/src/wandb/service.rs", "the service refuses rows ({0})"), 0);
        assert_eq!(found("crates/observe/src/wandb/service.rs", "the service refuses columns ({0})"), 2);
    }
}
