//! Standard output that may be closed or full, which is no reason to panic.

use std::io::{ErrorKind, Write};

use crate::exit::Exit;

/// Write text and a line's end.
///
/// Where that fails the process ends with code 2, since its answer was not heard; silently if nobody reads any more.
pub(super) fn line(text: impl std::fmt::Display) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}") {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("grail: cannot write to standard output ({error}); free its disk or send it elsewhere");
        }
        std::process::exit(Exit::Usage.code().into());
    }
}
