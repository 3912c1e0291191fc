//! Miners whose files share rollouts.

use std::collections::{BTreeMap, BTreeSet};

/// Two miners, and how many rollouts with the same tokens both files hold.
pub type SharedRollouts = (String, String, usize);

/// Returns every two miners that share a rollout, from the fingerprints of each miner's file.
pub(crate) fn copies<'a>(files: impl Iterator<Item = (&'a str, &'a [u64])>) -> Vec<SharedRollouts> {
    let mut holders: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for (hotkey, fingerprints) in files {
        for fingerprint in fingerprints {
            holders.entry(*fingerprint).or_default().insert(hotkey);
        }
    }
    let mut shared: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for holders in holders.into_values().filter(|holders| holders.len() > 1) {
        let holders: Vec<&str> = holders.into_iter().collect();
        for (at, first) in holders.iter().enumerate() {
            for second in &holders[at + 1..] {
                *shared.entry((first, second)).or_default() += 1;
            }
        }
    }
    shared.into_iter().map(|((first, second), count)| (first.to_owned(), second.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_rollouts_are_counted_by_pair() {
        let files: [(&str, &[u64]); 4] = [("a", &[1, 2, 3]), ("b", &[3, 2, 9]), ("c", &[7]), ("d", &[3])];
        let found = copies(files.into_iter());
        let pair = |a: &str, b: &str, count| (a.to_owned(), b.to_owned(), count);
        assert_eq!(found, [pair("a", "b", 2), pair("a", "d", 1), pair("b", "d", 1)]);
    }

    #[test]
    fn a_rollout_twice_in_one_file_is_no_copy() {
        assert_eq!(copies([("a", &[1, 1][..]), ("b", &[2][..])].into_iter()), []);
    }
}
