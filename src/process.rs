//! Limits on what the operating system does with this process's memory.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Disables core dumps, and access of this user's other processes to the memory.
///
/// # Errors
/// If the operating system refuses.
pub(crate) fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit has no effect if cores are piped into a program.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
