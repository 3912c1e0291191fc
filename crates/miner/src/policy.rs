//! How many of the clean groups to upload.

use std::collections::BTreeMap;

use grail_verify::sampling::groups_checked;
use serde::{Deserialize, Serialize};

/// The rule by which the length of the upload is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UploadPolicy {
    /// The prefix whose expected number of distinct checked solutions is highest; the shortest of several such.
    #[default]
    Score,
    /// Every clean group.
    All,
}

/// The groups that could be uploaded: for each, the assignments of its successful rollouts.
pub type Solutions<'a> = [Vec<&'a [bool]>];

impl UploadPolicy {
    /// Returns how many groups from 0 to upload.
    pub fn choose(self, groups: &Solutions<'_>, rollouts_per_group: usize) -> usize {
        match self {
            Self::All => groups.len(),
            Self::Score => best_prefix(groups, rollouts_per_group),
        }
    }
}

/// Returns how many of `groups` equal groups would be uploaded: the smallest number of which a validator checks the
/// most.
pub(crate) fn likely(policy: UploadPolicy, groups: usize, rollouts_per_group: usize) -> usize {
    let checked = |length: usize| groups_checked(length, length * rollouts_per_group);
    // `max_by_key` takes the last of several equal ones; in reverse order that is the shortest.
    let most = candidates(groups, rollouts_per_group).into_iter().rev().max_by_key(|length| checked(*length));
    match policy {
        UploadPolicy::All => groups,
        UploadPolicy::Score => most.unwrap_or(0),
    }
}

/// Expected number of distinct solutions that a validator finds in these groups.
pub fn expected_unique(groups: &Solutions<'_>, rollouts_per_group: usize) -> f64 {
    let mut found = Found::default();
    groups.iter().for_each(|group| found.add(group));
    found.expected_unique(groups.len(), rollouts_per_group)
}

/// In how many of the groups each solution is.
#[derive(Default)]
struct Found<'a>(BTreeMap<&'a [bool], usize>);

impl<'a> Found<'a> {
    fn add(&mut self, group: &[&'a [bool]]) {
        let mut distinct = group.to_vec();
        distinct.sort_unstable();
        // A validator counts a solution once, however many rollouts have it.
        distinct.dedup();
        for solution in distinct {
            *self.0.entry(solution).or_default() += 1;
        }
    }

    /// A validator draws its groups uniformly without replacement, so a solution that is in k of g groups is missed by a
    /// draw of c with probability C(g − k, c) / C(g, c).
    fn expected_unique(&self, groups: usize, rollouts_per_group: usize) -> f64 {
        let checked = groups_checked(groups, groups * rollouts_per_group);
        self.0.values().map(|&with| 1.0 - miss_probability(groups, with, checked)).sum()
    }
}

/// Returns the best length among the candidates.
fn best_prefix(groups: &Solutions<'_>, rollouts_per_group: usize) -> usize {
    let (mut best, mut found, mut counted) = ((0, 0.0), Found::default(), 0);
    for length in candidates(groups.len(), rollouts_per_group) {
        groups[counted..length].iter().for_each(|group| found.add(group));
        counted = length;
        let expected = found.expected_unique(length, rollouts_per_group);
        // A file without a solution still shows that the miner works; it is worth more than none at all.
        if best.0 == 0 || is_more(expected, best.1) {
            best = (length, expected);
        }
    }
    best.0
}

/// Returns whether one expectation is above another by more than rounding.
pub(crate) fn is_more(a: f64, b: f64) -> bool {
    a > b + 1e-9
}

/// Returns the considered lengths if `available` groups are clean, ascending.
pub fn candidates(available: usize, rollouts_per_group: usize) -> Vec<usize> {
    let checked = |length: usize| groups_checked(length, length * rollouts_per_group);
    // Up to 20 rollouts are all checked, which is five groups. Of a longer file a tenth of the groups is checked.
    let all_checked = (1..=available).take_while(|&length| checked(length) == length);
    // Of 6 to 19 groups one is checked, so these lengths are left out. From 20 on a longer file is better only where it
    // adds a checked group.
    let steps = (1..=available).filter(|&length| checked(length) > 1 && checked(length) > checked(length - 1));
    let mut lengths: Vec<usize> = all_checked.chain(steps).collect();
    lengths.push(available);
    lengths.retain(|&length| length > 0);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

fn miss_probability(groups: usize, with: usize, checked: usize) -> f64 {
    (0..checked)
        .map(|drawn| {
            let left = groups - drawn;
            // With more draws than groups without the solution it cannot be missed.
            (left as f64 - with as f64).max(0.0) / left as f64
        })
        .product()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(count: usize) -> Vec<Vec<Vec<bool>>> {
        (0..count).map(|i| vec![(0..16).map(|bit| i >> bit & 1 == 1).collect()]).collect()
    }

    fn choose(groups: &[Vec<Vec<bool>>]) -> usize {
        let borrowed: Vec<Vec<&[bool]>> = groups.iter().map(|g| g.iter().map(Vec::as_slice).collect()).collect();
        UploadPolicy::Score.choose(&borrowed, 4)
    }

    #[test]
    fn five_groups_beat_six_to_fifty_nine() {
        for available in 5..60 {
            assert_eq!(choose(&distinct(available)), 5, "{available} groups");
        }
        assert_eq!(choose(&distinct(60)), 60);
        assert_eq!(choose(&distinct(69)), 60);
        assert_eq!(choose(&distinct(70)), 70);
        assert_eq!(choose(&distinct(3)), 3);
        for available in 0..140 {
            assert_eq!(likely(UploadPolicy::Score, available, 4), choose(&distinct(available)), "{available} groups");
        }
        assert_eq!(choose(&[]), 0);
    }

    #[test]
    fn lengths_between_those_that_are_checked_whole_and_twenty_are_not_considered() {
        assert_eq!(candidates(0, 4), [0; 0]);
        assert_eq!(candidates(4, 4), [1, 2, 3, 4]);
        assert_eq!(candidates(17, 4), [1, 2, 3, 4, 5, 17]);
        assert_eq!(candidates(45, 4), [1, 2, 3, 4, 5, 20, 30, 40, 45]);
    }

    #[test]
    fn a_difference_of_rounding_is_none() {
        assert!(!is_more(1e-9, 0.0) && is_more(2e-9, 0.0) && !is_more(0.0, 1.0));
    }

    #[test]
    fn groups_without_solutions_are_not_worth_a_longer_file() {
        let mut groups = distinct(3);
        groups.extend(vec![vec![]; 2]);
        assert_eq!(choose(&groups), 3);
        assert_eq!(choose(&vec![vec![]; 3]), 1);
    }

    #[test]
    fn the_expectation_is_that_of_every_possible_draw() {
        // 21 groups, 2 checked: enumerate all 210 draws.
        let groups: Vec<Vec<Vec<bool>>> =
            (0..21).map(|i| vec![vec![i % 3 == 0, i % 5 == 0, true], vec![i % 2 == 0, false, i % 7 == 0]]).collect();
        let borrowed: Vec<Vec<&[bool]>> = groups.iter().map(|g| g.iter().map(Vec::as_slice).collect()).collect();
        let mut total = 0;
        let mut draws = 0;
        for a in 0..21 {
            for b in 0..a {
                let both: std::collections::BTreeSet<_> = borrowed[a].iter().chain(&borrowed[b]).collect();
                total += both.len();
                draws += 1;
            }
        }
        let exact = f64::from(total as u32) / f64::from(draws);
        assert!((expected_unique(&borrowed, 4) - exact).abs() < 1e-9);
    }
}
