//! Bugs that can be planted on purpose, to show that the simulator finds them. Without the feature `mutants` none can,
//! and the questions for them cost nothing.

#[cfg(feature = "mutants")]
use std::cell::Cell;

macro_rules! mutants {
    ($($mutant:ident $of_the_reference:literal $what:literal;)*) => {
        /// A bug; `what` documents each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "`what` documents each")]
        pub enum Mutant {
            $($mutant,)*
        }

        impl Mutant {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$mutant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mutant => stringify!($mutant),)*
                }
            }

            /// What is wrong with it.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$mutant => $what,)*
                }
            }

            /// Whether the reference miner has it.
            pub const fn is_of_the_reference(self) -> bool {
                match self {
                    $(Self::$mutant => $of_the_reference,)*
                }
            }
        }
    };
}

mutants! {
    IndexAdvancesOnFailure true "a group that fails is left out, and the next index takes its place in the file";
    UploadErrorSwallowed true "an upload that failed counts as done";
    EstimateNeverDecays true "the longest upload or group ever seen is expected for ever";
    ReconnectKeepsTheConnection true "reconnecting goes on with the dead connection";
    ChainCallsUnbounded true "a call to the chain may take for ever";
    StandingHeadUnnoticed true "a head that does not move is no reason for a new connection";
    HashNotReadAgain true "the first reading of the window's block hash counts as final";
    UnregisteredMinesOn true "a hotkey without a uid goes on generating";
    ImprobableEosUploaded true "a completion that ends with an improbable token is uploaded";
    SuccessWithoutReadBack false "an acknowledged write counts without being read back";
    ReorganisationIgnored false "another hash of the window's first block is not noticed";
    ReorganisedWorkKept false "groups made under a replaced hash are kept";
    FindingsIgnored false "groups are uploaded whatever the self-check found";
    CommitmentReadOnce false "a commitment that was right once is never looked at again";
    CommitsWithoutPause false "a commitment on its way is sent again at once";
    CommitsTwice false "two readings of the commitment at a time lead to two commitments";
    PutBeforeJournal false "a file is sent that the journal does not know";
    DoneNotJournalled false "that a file was read back is not journalled";
    PendingForgotten false "a restarted process does not look for the file that was on its way";
    PendingCountsAsDone false "a file with unknown fate counts as uploaded when its window ends";
    ReceiptTwice false "a restarted process closes a window again that was closed";
    RecoveredUnderAnyHash false "a restarted process goes on with groups of another block hash";
    DeadlineIgnored false "the upload begins when the window is over";
    StuckGroupsKept false "a group that never comes back is waited for";
    SameAttemptAgain false "a rejected group is sampled again with the same numbers";
    BadRolloutKept false "the rollout that was rejected is kept, and the good ones are sampled again";
    BeaconFailureStops false "without a beacon a window does not begin";
    TransientIsFinal false "an upload that may be tried again is given up";
    JournalErrorStops false "an upload whose beginning cannot be journalled is not made";
    CorruptReadIsFinal false "bytes altered on their way count as another writer's";
    HeadRetriedAtOnce false "a failed look at the head is repeated without a pause";
    GroupsBeyondTheLimit false "more groups are made than were asked for";
    OneGroupTooMany false "one group more is in flight than the engine takes";
    CancelForgotten false "groups in flight are not cancelled when their window ends";
    SecretTold false "a report holds the read credentials";
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plant a bug in everything that runs on this thread from now on, or none.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether this bug is planted.
#[cfg(feature = "mutants")]
pub(crate) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this bug is planted: it is not.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}
