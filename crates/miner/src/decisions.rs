//! The register of decision versions: each intended change of what the core decides has a number.
//!
//! A tape records the numbers that were in force, and a replay decides by those: as before the change where its number is
//! missing. A change adds a constant to [`VERSIONS`], and the core asks
//! `settings.decisions.contains(NUMBER)` at the place that decides.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// One intended change of what the core decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionVersion {
    /// One more than the last; never used again, also where the change was taken back.
    pub number: u32,
    /// The changed decision.
    pub what: &'static str,
}

/// Every change, oldest first.
pub const VERSIONS: &[DecisionVersion] = &[
    DecisionVersion {
        number: DRAWING_COUNTS,
        what: "a batch that is being drawn makes room for its retry only if what is left of drawing takes too long",
    },
    DecisionVersion {
        number: FAILING_IS_NOT_SLOW,
        what: "an upload during which the bucket or the chain failed counts as at most four times what was expected",
    },
    DecisionVersion {
        number: CONTEXT_AGAIN,
        what: "a window whose beginning the journal refused is journaled again before its next group or file",
    },
    DecisionVersion {
        number: WHOLE_FILES,
        what: "a file of a crashed process is not written again if some of its groups are lost",
    },
    DecisionVersion { number: MORE_GROUPS, what: "a confirmed file is replaced only by one with more groups" },
    DecisionVersion {
        number: REFUTED_JUMP,
        what: "windows that a refuted head passed over are remembered, in case later heads pass over them too",
    },
];

/// The time for which a batch is being drawn already counts where groups make room for a retry.
pub(crate) const DRAWING_COUNTS: u32 = 1;

/// The time for which a bucket failed teaches little about how long an upload takes.
pub(crate) const FAILING_IS_NOT_SLOW: u32 = 2;

/// Groups and files count after a crash only behind their window's context, so a context that the journal refused is
/// journaled again.
pub(crate) const CONTEXT_AGAIN: u32 = 3;

/// The journal may know a file of which it had to refuse the groups.
pub(crate) const WHOLE_FILES: u32 = 4;

/// Of a file whose groups a crash lost nobody knows the worth.
pub(crate) const MORE_GROUPS: u32 = 5;

/// After a refuted head no window is open from which a later jump would be noted.
pub(crate) const REFUTED_JUMP: u32 = 6;

/// The numbers of the changes that are in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decisions(BTreeSet<u32>);

impl Decisions {
    /// Returns every change of this build.
    pub fn all() -> Self {
        Self::of(VERSIONS)
    }

    /// Returns the numbers of all changes in a register.
    pub fn of(register: &[DecisionVersion]) -> Self {
        Self(register.iter().map(|version| version.number).collect())
    }

    /// Returns whether a change is in force.
    pub fn contains(&self, number: u32) -> bool {
        self.0.contains(&number)
    }

    /// Returns the numbers that a register does not have: a build with this register cannot decide as they did.
    pub fn unknown_to(&self, register: &[DecisionVersion]) -> Vec<u32> {
        let known = Self::of(register);
        self.0.difference(&known.0).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register that exists in tests alone.
    const REGISTER: &[DecisionVersion] = &[
        DecisionVersion { number: 1, what: "a decision of these tests" },
        DecisionVersion { number: 8, what: "another one; those between were taken back" },
    ];

    #[test]
    fn numbers_of_the_register_rise_and_say_what_changed() {
        for register in [VERSIONS, REGISTER] {
            assert!(register.is_sorted_by(|one, next| one.number < next.number));
            assert!(register.iter().all(|version| version.number > 0 && !version.what.is_empty()));
        }
    }

    #[test]
    fn a_recorded_set_decides_by_its_own_numbers_and_names_those_that_are_unknown() {
        let all = Decisions::of(REGISTER);
        assert!(all.contains(1) && !all.contains(2) && all.contains(8));
        let recorded: Decisions = serde_json::from_str("[8, 9]").unwrap();
        assert!(!recorded.contains(1) && recorded.contains(8));
        assert_eq!(recorded.unknown_to(REGISTER), [9]);
        assert_eq!(recorded.unknown_to(VERSIONS), [8, 9], "the present build has no number 8");
        assert!(Decisions::all().unknown_to(VERSIONS).is_empty());
        assert_eq!(serde_json::to_string(&all).unwrap(), "[1,8]");
    }
}
