//! The register of intended changes of behaviour: what the core decides otherwise than builds before.
//!
//! A tape carries the numbers that were in force when it was recorded, and the core decides by those: as before where a
//! number is missing.

/// One intended change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Number 1.
    CommitmentReadAgain,
    /// Number 2.
    StuckGroupsTellLittle,
    /// Number 3.
    GroupsArePackedOnce,
    /// Number 4.
    UnconfirmedWindowEndsOnce,
    /// Number 5.
    UploadMarginIsBounded,
    /// Number 6.
    HiddenWriteIsAwaited,
    /// Number 7.
    StuckGroupsTellOnce,
    /// Number 8.
    HeadsAreVetted,
    /// Number 9.
    MissedWindowsHaveReceipts,
    /// Number 10.
    OutcomeFollowsFromAttempts,
}

impl Behaviour {
    /// Every change, oldest first.
    pub const ALL: &'static [Self] = &[
        Self::CommitmentReadAgain,
        Self::StuckGroupsTellLittle,
        Self::GroupsArePackedOnce,
        Self::UnconfirmedWindowEndsOnce,
        Self::UploadMarginIsBounded,
        Self::HiddenWriteIsAwaited,
        Self::StuckGroupsTellOnce,
        Self::HeadsAreVetted,
        Self::MissedWindowsHaveReceipts,
        Self::OutcomeFollowsFromAttempts,
    ];

    /// Its number: one more than the last, never used again, also where the change was taken back.
    pub const fn number(self) -> u32 {
        match self {
            Self::CommitmentReadAgain => 1,
            Self::StuckGroupsTellLittle => 2,
            Self::GroupsArePackedOnce => 3,
            Self::UnconfirmedWindowEndsOnce => 4,
            Self::UploadMarginIsBounded => 5,
            Self::HiddenWriteIsAwaited => 6,
            Self::StuckGroupsTellOnce => 7,
            Self::HeadsAreVetted => 8,
            Self::MissedWindowsHaveReceipts => 9,
            Self::OutcomeFollowsFromAttempts => 10,
        }
    }

    /// The change with this number.
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|behaviour| behaviour.number() == number)
    }

    /// What is decided otherwise.
    pub const fn what(self) -> &'static str {
        match self {
            Self::CommitmentReadAgain => {
                "a commitment that was right once is read again whenever the account is looked at"
            }
            Self::StuckGroupsTellLittle => {
                "a group that is given up counts as at most four times the expected duration"
            }
            Self::GroupsArePackedOnce => "each group of a window file is compressed by itself, once",
            Self::UnconfirmedWindowEndsOnce => {
                "what a crash left of a window gets the one receipt, also where the window's hash was never read again"
            }
            Self::UploadMarginIsBounded => "however slow the uploads were, half of each window is left to generation",
            Self::HiddenWriteIsAwaited => {
                "a window's pending file is looked for several times before the receipt says that it is not there, and a \
                 file of the same groups is not written again"
            }
            Self::StuckGroupsTellOnce => "groups that were stuck together count as one, and not each for itself",
            Self::HeadsAreVetted => {
                "a head that block time does not allow counts only once the chain shows the higher of the two blocks, and a \
                 lower head is believed once it does not"
            }
            Self::MissedWindowsHaveReceipts => {
                "each window that passed without a block of it being seen gets a receipt"
            }
            Self::OutcomeFollowsFromAttempts => {
                "the outcome and reason of a window without an upload follow from everything that was tried in it"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_are_never_used_again() {
        assert!(Behaviour::ALL.is_sorted_by(|one, next| one.number() < next.number()));
        for behaviour in Behaviour::ALL {
            assert_eq!(Behaviour::numbered(behaviour.number()), Some(*behaviour));
            assert!(!behaviour.what().is_empty());
        }
        assert_eq!(Behaviour::numbered(0), None);
    }
}
