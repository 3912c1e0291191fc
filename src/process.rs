//! What the operating system may do with this process's memory.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Leaves no core dump, and let no other process of this user look into the memory.
///
/// # Errors
/// If the operating system refuses.
pub(crate) fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit does not hold where cores are piped into a program.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
