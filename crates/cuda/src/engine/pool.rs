//! Rollouts that have ended and wait to be proved, and which of them are proved together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::group_ledger::{AttemptKey, Finished, GroupKey};
use crate::proof::{Layout, Sequence, SummationOrder};

/// Shared by the thread that draws and those that prove.
#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they are to be proved.
    waiting: BTreeMap<(AttemptKey, usize), Finished>,
    /// The group that goes before all others.
    preferred: Option<GroupKey>,
    is_closed: bool,
}

/// Lets the provers end, however its scope is left.
pub(super) struct Closing<'a>(pub(super) &'a Pool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in.
    pub(super) fn put(&self, finished: Finished) {
        self.lock().waiting.insert((finished.ticket, finished.index), finished);
        self.changed.notify_one();
    }

    /// Lets this group go before all others, or none.
    pub(super) fn prefer(&self, group: Option<GroupKey>) {
        self.lock().preferred = group;
    }

    /// Keeps those that are still wanted.
    pub(super) fn retain(&self, is_wanted: impl Fn(&Finished) -> bool) {
        self.lock().waiting.retain(|_, finished| is_wanted(finished));
    }

    /// Returns whether nothing waits, and more may come.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && !state.is_closed
    }

    /// Waits for one; returns whether there is one, or else there will be no more.
    pub(super) fn wait(&self) -> bool {
        let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_closed;
        let state = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        !state.waiting.is_empty()
    }

    /// Returns the lengths of all that wait.
    pub(super) fn lengths(&self) -> BTreeSet<usize> {
        self.lock().waiting.values().map(|finished| finished.tokens.len()).collect()
    }

    /// Takes the first that waits, of the preferred group if one of that waits, and others that can be proved with it in a
    /// pass of at most `rows_max` rows: those of its order and randomness. Lengths of no order are proved alone.
    pub(super) fn take(&self, orders: &BTreeMap<usize, Option<SummationOrder>>, rows_max: usize) -> Vec<Finished> {
        let State { waiting, preferred, .. } = &mut *self.lock();
        let preferred = waiting.iter().find(|(((group, _), _), _)| *preferred == Some(*group));
        let Some((first_key, first)) = preferred.or_else(|| waiting.first_key_value()) else { return Vec::new() };
        let order = |finished: &Finished| orders.get(&finished.tokens.len()).copied().flatten();
        let mut keys = vec![*first_key];
        if let Some(first_order) = order(first) {
            let mut sequences = vec![sequence(first)];
            let is_alike =
                |other: &Finished| order(other) == Some(first_order) && other.work.randomness == first.work.randomness;
            for (key, other) in waiting.iter().filter(|(key, other)| *key != first_key && is_alike(other)) {
                sequences.push(sequence(other));
                if Layout::of(&sequences).rows > rows_max {
                    break;
                }
                keys.push(*key);
            }
        }
        keys.iter().filter_map(|key| waiting.remove(key)).collect()
    }
}

/// Returns the proven part of a rollout.
pub(super) fn sequence(finished: &Finished) -> Sequence<'_> {
    Sequence { tokens: &finished.tokens, prompt_length: finished.work.prompt.len() }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test needs a second thread")]
mod tests {
    use std::sync::Arc;

    use super::super::GroupWork;
    use super::*;

    const ORDERS: [(usize, Option<SummationOrder>); 4] =
        [(40, Some([0; 5])), (41, Some([0; 5])), (60, Some([1, 0, 0, 0, 0])), (70, None)];

    fn finished(group: u32, index: usize, length: usize, randomness: &str) -> Finished {
        let work = GroupWork {
            prompt: vec![7; 30],
            streams: Vec::new(),
            randomness: randomness.to_owned(),
            new_tokens_max: 100,
        };
        let rest = (0..length as u32 - 30).map(|i| i + 100 * (group * 4 + index as u32));
        let tokens = work.prompt.iter().copied().chain(rest).collect();
        Finished { ticket: ((900, group, 0), 0), index, tokens, work: Arc::new(work) }
    }

    fn taken(pool: &Pool, rows_max: usize) -> Vec<(u32, usize)> {
        let orders = ORDERS.into_iter().collect();
        pool.take(&orders, rows_max).iter().map(|finished| (finished.ticket.0.1, finished.index)).collect()
    }

    #[test]
    fn low_groups_come_first_with_rollouts_of_equal_sums() {
        let pool = Pool::default();
        for (group, index, length) in [(2, 0, 40), (1, 1, 60), (0, 0, 41), (1, 0, 40), (0, 1, 70)] {
            pool.put(finished(group, index, length, "a"));
        }
        assert!(pool.wait());
        assert_eq!(pool.lengths(), [40, 41, 60, 70].into());
        assert_eq!(taken(&pool, 1000), [(0, 0), (1, 0), (2, 0)]);
        assert_eq!(taken(&pool, 1000), [(0, 1)]);
        assert_eq!(taken(&pool, 1000), [(1, 1)]);
        assert_eq!(taken(&pool, 1000), []);
    }

    #[test]
    fn a_pass_has_room_for_shared_prompts_only_once() {
        let pool = Pool::default();
        (0..4).for_each(|index| pool.put(finished(0, index, 40, "a")));
        // 30 rows of the prompt, and 10 for each.
        assert_eq!(taken(&pool, 60), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(taken(&pool, 1), [(0, 3)], "one is taken however long it is");
    }

    #[test]
    fn a_preferred_group_goes_first_and_takes_others_of_its_sums_along() {
        let pool = Pool::default();
        for (group, index, length) in [(0, 0, 40), (1, 0, 60), (2, 0, 41), (2, 1, 60)] {
            pool.put(finished(group, index, length, "a"));
        }
        pool.prefer(Some((900, 2, 0)));
        assert_eq!(taken(&pool, 1000), [(2, 0), (0, 0)]);
        assert_eq!(taken(&pool, 1000), [(2, 1), (1, 0)]);
        pool.put(finished(3, 0, 40, "a"));
        assert_eq!(taken(&pool, 1000), [(3, 0)], "a preferred group without rollouts holds nothing up");
    }

    #[test]
    fn canceled_rollouts_are_not_proved() {
        let pool = Pool::default();
        (0..3).for_each(|group| pool.put(finished(group, 0, 40, "a")));
        pool.retain(|finished| finished.ticket.0.1 != 1);
        assert_eq!(taken(&pool, 1000), [(0, 0), (2, 0)]);
    }

    #[test]
    fn another_window_has_another_randomness() {
        let pool = Pool::default();
        pool.put(finished(0, 0, 40, "a"));
        pool.put(finished(1, 0, 40, "b"));
        assert_eq!(taken(&pool, 1000), [(0, 0)]);
    }

    #[test]
    fn closing_ends_the_waiting_threads_after_the_last_item() {
        let pool = Pool::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.wait());
            drop(Closing(&pool));
            assert!(!waiting.join().unwrap());
        });
        pool.put(finished(0, 0, 40, "a"));
        assert!(pool.wait());
    }
}
