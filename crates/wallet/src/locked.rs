//! A secret at a place in memory that is never swapped to disk.

use std::fmt;
use std::ops::Deref;

/// A value on pages that stay in memory, if the operating system allows it.
///
/// Without the right to lock memory (`ulimit -l`) the value is on ordinary pages.
pub(super) struct Locked<T>(Box<T>);

impl<T> Locked<T> {
    pub(super) fn new(value: T) -> Self {
        let value = Box::new(value);
        lock(&raw const *value, size_of::<T>());
        Self(value)
    }
}

/// Keeps the pages of these bytes in memory, as far as the operating system grants it.
pub(super) fn keep_in_memory(bytes: &[u8]) {
    if !bytes.is_empty() {
        lock(bytes.as_ptr(), bytes.len());
    }
}

/// Never undone: another secret may be on the same page, and what was there is wiped when it is dropped.
fn lock<T>(address: *const T, size: usize) {
    if let Ok(guard) = region::lock(address, size) {
        std::mem::forget(guard);
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
