//! Printing for every command, without a panic when standard output or standard error is closed or full.
//!
//! Every command prints through this module, which escapes characters that could deceive a reader: see [`escaped`]. The
//! macros of the standard library do not, and panic if a write fails. Text from outside that is within a line passes
//! `printable` as well, or it could start its own line.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::{Exit, escaped};

/// Writes a line to standard output. If that fails, ends the process: quietly as [`Exit::Unread`] if the reader has closed
/// its end, otherwise as [`Exit::Usage`] with a message.
pub fn line(text: impl Display) {
    styled(escaped(&text.to_string()));
}

/// As [`line()`], for text that ends with a line feed.
pub fn text(text: impl Display) {
    written(|stdout| write!(stdout, "{}", escaped(&text.to_string())));
}

/// As [`line()`], for text that has been escaped already and holds colors of ours.
pub fn styled(text: impl Display) {
    written(|stdout| writeln!(stdout, "{text}"));
}

/// Writes a line to standard error, and ignores a failure.
pub fn aside(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped(&text.to_string()));
}

/// Returns how a command ends if its output cannot be written; prints the error unless the reader has closed its end.
pub fn unheard(error: &io::Error) -> Exit {
    if error.kind() == ErrorKind::BrokenPipe {
        return Exit::Unread;
    }
    aside(format_args!("grail: cannot write to standard output ({error}); free its disk or send it elsewhere"));
    Exit::Usage
}

fn written(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = write(&mut stdout).and_then(|()| stdout.flush()) {
        std::process::exit(unheard(&error).code().into());
    }
}
