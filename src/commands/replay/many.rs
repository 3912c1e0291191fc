//! The same for many files at a time, with results in the files' order.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `work` gives for each path; as many at a time as there are processors.
pub(super) fn in_parallel<T: Send>(paths: &[PathBuf], work: impl Fn(&PathBuf) -> T + Sync) -> Vec<T> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let one_worker = || {
        let take = || paths.get(next.fetch_add(1, Ordering::Relaxed).min(paths.len()));
        let mut done = Vec::new();
        while let Some(path) = take() {
            done.push((path, work(path)));
        }
        done
    };
    let mut done: Vec<(&PathBuf, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors.min(paths.len())).map(|_| scope.spawn(one_worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a panic was shown where it arose")).collect()
    });
    // By place, not by value: a path may be named twice.
    done.sort_by_key(|(path, _)| std::ptr::from_ref::<PathBuf>(path) as usize);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_files() {
        let paths: Vec<PathBuf> = (0..50).rev().map(|i| PathBuf::from(i.to_string())).collect();
        assert_eq!(in_parallel(&paths, PathBuf::clone), paths);
        assert_eq!(in_parallel(&[], PathBuf::clone), Vec::<PathBuf>::new());
    }
}
