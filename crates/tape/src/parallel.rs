//! Applies a function to many items in parallel and keeps their order.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns `work` of each item, in their order; runs as many at a time as there are processors.
pub fn in_parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    in_parallel_with(items, || (), |(), item| work(item))
}

/// As [`in_parallel`], with tools that each thread makes once.
pub(crate) fn in_parallel_with<I: Sync, W, T: Send>(
    items: &[I],
    tools: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, &I) -> T + Sync,
) -> Vec<T> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let one_worker = || {
        let (mut tools, mut done) = (tools(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(&mut tools, item)));
        }
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        // The calling thread works too: for a single item none is started.
        let workers: Vec<_> = (1..processors.min(items.len())).map(|_| scope.spawn(one_worker)).collect();
        let mut done = one_worker();
        done.extend(workers.into_iter().flat_map(|worker| worker.join().expect("a panic was shown where it arose")));
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<String> = (0..50).rev().map(|i| i.to_string()).collect();
        assert_eq!(in_parallel(&items, String::clone), items);
        assert_eq!(in_parallel(&[], String::clone), Vec::<String>::new());
    }
}
