//! One miner per hotkey: a lock on this machine, and a guard in the bucket against another one.
//!
//! Two miners on one hotkey cannot overwrite each other's files, but each window is lost to one of them.

mod guard;
mod lock;

pub use guard::{BucketGuard, GuardError, Lost};
pub use lock::{HotkeyLock, HotkeyLockError, InstanceId};
