//! Standard output that a closed pipe does not turn into a panic.

use std::io::Write;

/// Write text and a line's end; if nobody reads any more, the process ends quietly.
pub(super) fn line(text: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}
