//! Counts of rare branches; the machine decides nothing by them.

use std::collections::BTreeMap;

/// Every rare branch of the machine; a mark that no simulated seed reaches is a branch that nothing tests.
pub const MARKS: &[&str] = &[
    "acknowledged-write-is-never-found",
    "acknowledged-write-is-not-visible",
    "another-writer-is-in-the-bucket",
    "block-hash-is-not-confirmed-in-time",
    "block-is-reorganised-away",
    "commitment-differs-from-what-was-read-before",
    "commitment-is-on-its-way",
    "group-makes-room-for-a-retry",
    "group-takes-too-long",
    "group-waits-for-the-engine",
    "head-does-not-move",
    "head-goes-back",
    "head-is-refuted",
    "head-needs-confirmation",
    "hotkey-is-not-registered",
    "journal-does-not-work",
    "known-file-shows-after-an-unknown-outcome",
    "no-beacon",
    "object-is-not-what-was-written",
    "old-generation-answers",
    "pending-file-does-not-show-at-once",
    "recovered-window-ends-before-its-hash-is-known",
    "recovered-window-goes-on",
    "recovered-window-is-of-another-hash",
    "recovered-window-is-over",
    "refused-context-is-journaled-again",
    "rollout-is-sampled-again",
    "upload-has-no-time-left",
    "upload-is-confirmed",
    "upload-is-refused",
    "upload-of-a-crashed-process-is-looked-for",
    "window-ends-with-a-pending-upload",
    "window-is-missed",
];

/// How often each branch was taken.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    counts: BTreeMap<&'static str, u64>,
    total: u64,
}

impl Marks {
    /// This branch was taken; its name is in [`MARKS`].
    pub(super) fn sometimes(&mut self, mark: &'static str) {
        *self.counts.entry(mark).or_default() += 1;
        self.total += 1;
    }

    /// Returns each branch that was taken, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&&'static str, &u64)> {
        self.counts.iter()
    }

    /// Returns how many branches were taken in all.
    pub const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_machine_marks() {
        let sources = [
            include_str!("../machine.rs"),
            include_str!("account.rs"),
            include_str!("groups.rs"),
            include_str!("heads.rs"),
            include_str!("passed.rs"),
            include_str!("settlement.rs"),
            include_str!("upload.rs"),
            include_str!("window.rs"),
        ];
        let opening = concat!("some", "times(\"");
        let mut marked: Vec<&str> = sources
            .iter()
            .flat_map(|source| source.split(opening).skip(1))
            .map(|rest| rest.split('"').next().unwrap_or_default())
            .collect();
        marked.sort_unstable();
        marked.dedup();
        assert_eq!(marked, MARKS);
    }

    #[test]
    fn marks_are_counted_one_by_one_and_in_all() {
        let mut marks = Marks::default();
        for mark in ["no-beacon", "head-goes-back", "no-beacon"] {
            marks.sometimes(mark);
        }
        assert_eq!(marks.iter().collect::<Vec<_>>(), [(&"head-goes-back", &1), (&"no-beacon", &2)]);
        assert_eq!(marks.total(), 3);
    }
}
