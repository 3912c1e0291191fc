//! Pages of keys and values: allocated, shared, and freed after their last use.

/// Tokens of a page.
pub const PAGE_TOKENS: usize = 32;

/// Which pages are free, and how many use each of the others.
#[derive(Debug, Clone)]
pub(super) struct PagePool {
    free: Vec<u32>,
    users: Vec<u32>,
}

impl PagePool {
    pub(super) fn new(pages: usize) -> Self {
        // The lowest numbers are given out first.
        Self { free: (0..pages as u32).rev().collect(), users: vec![0; pages] }
    }

    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    pub(super) fn total(&self) -> usize {
        self.users.len()
    }

    /// `count` pages for one user, or none at all.
    pub(super) fn take(&mut self, count: usize) -> Option<Vec<u32>> {
        let rest = self.free.len().checked_sub(count)?;
        let pages: Vec<u32> = self.free.drain(rest..).rev().collect();
        for page in &pages {
            self.users[*page as usize] = 1;
        }
        Some(pages)
    }

    /// One more user of pages that are in use.
    ///
    /// # Panics
    /// If one is not.
    pub(super) fn share(&mut self, pages: &[u32]) {
        for page in pages {
            let users = &mut self.users[*page as usize];
            assert!(*users > 0, "page {page} is free and cannot be shared");
            *users += 1;
        }
    }

    /// One user less of each page.
    ///
    /// # Panics
    /// If a page has none.
    pub(super) fn give_back(&mut self, pages: &[u32]) {
        for page in pages {
            let users = &mut self.users[*page as usize];
            *users = users.checked_sub(1).unwrap_or_else(|| panic!("page {page} is returned twice"));
            if *users == 0 {
                self.free.push(*page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with plain bookkeeping: no sequence of allocations, shares and frees gives a page two unrelated
        /// owners or loses one.
        #[test]
        fn pages_are_neither_lost_nor_given_twice(moves in prop::collection::vec((0u8..3, 0usize..9), 1..200)) {
            let mut pool = PagePool::new(24);
            let mut held: Vec<Vec<u32>> = Vec::new();
            for (kind, number) in moves {
                match kind {
                    0 => match pool.take(number) {
                        Some(pages) => {
                            prop_assert_eq!(pages.len(), number);
                            for page in &pages {
                                prop_assert!(held.iter().all(|other| !other.contains(page)), "page {} is in use", page);
                            }
                            held.push(pages);
                        }
                        None => prop_assert!(pool.free() < number),
                    },
                    1 if !held.is_empty() => {
                        let pages = held[number % held.len()].clone();
                        pool.share(&pages);
                        held.push(pages);
                    }
                    _ if !held.is_empty() => {
                        let pages = held.swap_remove(number % held.len());
                        pool.give_back(&pages);
                    }
                    _ => {}
                }
                let used: std::collections::BTreeSet<u32> = held.iter().flatten().copied().collect();
                prop_assert_eq!(pool.free() + used.len(), 24);
            }
        }
    }

    #[test]
    #[should_panic(expected = "returned twice")]
    fn giving_back_twice_is_a_bug() {
        let mut pool = PagePool::new(2);
        let pages = pool.take(1).unwrap();
        pool.give_back(&pages);
        pool.give_back(&pages);
    }
}
