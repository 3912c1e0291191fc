//! Standard output and standard error, which may be closed or full: neither is a reason to panic.
//!
//! Every command prints through this module, which lets no character through that could deceive a reader: see
//! [`escaped`]. The macros of the standard library do, and panic where a write fails. Text from outside that stands within
//! a line passes `printable` as well, or it could begin a line of its own.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::exit::Exit;
use grail_terminal::escaped;

/// Writes text and a line's end to standard output. Ends the process where that fails, since the answer was not heard:
/// as [`Exit::Unread`] and quietly where nobody reads any more, otherwise as [`Exit::Usage`] with a message.
pub fn line(text: impl Display) {
    styled(escaped(&text.to_string()));
}

/// As [`line()`], for text that has its line's end.
pub fn text(text: impl Display) {
    written(|stdout| write!(stdout, "{}", escaped(&text.to_string())));
}

/// As [`line()`], for text that has been escaped already and holds colors of ours.
pub(crate) fn styled(text: impl Display) {
    written(|stdout| writeln!(stdout, "{text}"));
}

/// Writes a line to standard error. Where that fails there is nobody to tell.
pub fn aside(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped(&text.to_string()));
}

/// How a command ends whose answer could not be written; says so, unless nobody reads any more.
pub(crate) fn unheard(error: &io::Error) -> Exit {
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
