//! A secret at a place in memory that is never swapped to disk.

use std::fmt;
use std::ops::Deref;

/// A value on pages that stay in memory, as far as the operating system grants it.
///
/// Who may lock no memory (`ulimit -l`) gets it all the same, on ordinary pages.
pub(super) struct Locked<T> {
    // Dropped, and wiped if it does so, before its pages are unlocked.
    value: Box<T>,
    _lock: Option<region::LockGuard>,
}

impl<T> Locked<T> {
    pub(super) fn new(value: T) -> Self {
        let value = Box::new(value);
        let _lock = region::lock(&raw const *value, size_of::<T>()).ok();
        Self { value, _lock }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
