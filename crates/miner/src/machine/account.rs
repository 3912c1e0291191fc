//! Registration and the read credentials on chain.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::event::Timer;
use super::receipt::Area;
use crate::answers::{ChainError, CommitError};

/// A commitment that is not included after this many blocks will not be.
const INCLUSION_BLOCKS_MAX: u64 = 5;

/// State of our account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Account {
    /// Whether the hotkey has a uid; unknown before the first answer.
    registered: Option<bool>,
    commitment: Commitment,
    /// Whether it was right before.
    was_equal: bool,
    /// Monotonic time until which a commitment with unknown outcome may still be included, in milliseconds.
    on_its_way_until_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Commitment {
    #[default]
    Unknown,
    Reading,
    Writing,
    Equal,
}

impl Account {
    /// Returns whether mining is known to be pointless.
    pub(super) fn is_unregistered(&self) -> bool {
        self.registered == Some(false)
    }

    /// Reads registration again; the commitment follows until it is known to be right.
    pub(super) fn check(&self, cx: &mut Context<'_>) {
        cx.push(Action::ReadRegistration);
    }

    pub(super) fn on_registration_read(&mut self, cx: &mut Context<'_>, result: Result<Option<u16>, ChainError>) {
        match result {
            Ok(Some(_)) => {
                self.registered = Some(true);
                // Another tool, or the loss of the uid, may have changed it since it was read.
                if self.commitment == Commitment::Equal {
                    self.commitment = Commitment::Unknown;
                }
                self.read_commitment(cx);
            }
            Ok(None) => {
                // The Python miner mines on without a uid forever. This one reports it, waits, and checks again.
                self.registered = Some(false);
                cx.sometimes("hotkey-is-not-registered");
                let text = "the hotkey is not registered on the subnet; register it, mining starts by itself then";
                cx.trouble(Area::Chain, text);
                check_later(cx);
            }
            Err(error) => {
                cx.trouble(Area::Chain, error);
                check_later(cx);
            }
        }
    }

    pub(super) fn on_commitment_read(&mut self, cx: &mut Context<'_>, result: Result<Option<Vec<u8>>, ChainError>) {
        match result {
            Ok(found) if found.as_ref() == Some(&cx.secrets.read_credentials) => {
                self.commitment = Commitment::Equal;
                self.was_equal = true;
            }
            Ok(_) if cx.now_ms() < self.on_its_way_until_ms => {
                // Another one would race with it for the nonce.
                cx.sometimes("commitment-is-on-its-way");
                self.commitment = Commitment::Unknown;
                check_later(cx);
            }
            Ok(_) => {
                if self.was_equal {
                    cx.sometimes("commitment-differs-from-what-was-read-before");
                }
                // Only if it differs: the chain takes at most 24 commitments in 360 blocks.
                self.commitment = Commitment::Writing;
                cx.push(Action::Commit(cx.secrets.read_credentials.clone()));
            }
            Err(error) => {
                self.commitment = Commitment::Unknown;
                cx.trouble(Area::Commitment, error);
                check_later(cx);
            }
        }
    }

    pub(super) fn on_commitment_answered(&mut self, cx: &mut Context<'_>, result: Result<(), CommitError>) {
        self.commitment = Commitment::Unknown;
        match result {
            // The value on the chain counts, not the answer, so it is read again.
            Ok(()) => self.read_commitment(cx),
            Err(error @ CommitError::Unknown(_)) => {
                cx.trouble(Area::Commitment, error);
                // Case `a-late-commitment-is-not-sent-again-and-again`.
                self.on_its_way_until_ms = cx.now_ms() + INCLUSION_BLOCKS_MAX * cx.settings.block_ms;
                self.read_commitment(cx);
            }
            // A refusal can be temporary: the chain refuses hotkeys without a uid.
            Err(error @ CommitError::Refused(_)) => {
                cx.trouble(Area::Commitment, error);
                check_later(cx);
            }
        }
    }

    /// Reads the commitment, one read at a time: two reads could lead to two commitments.
    fn read_commitment(&mut self, cx: &mut Context<'_>) {
        if self.commitment == Commitment::Unknown {
            self.commitment = Commitment::Reading;
            cx.push(Action::ReadCommitment);
        }
    }
}

fn check_later(cx: &mut Context<'_>) {
    cx.set_timer_after(Timer::Account, 2 * cx.settings.block_ms);
}

#[cfg(test)]
mod tests {
    use super::super::bench::{BLOCK_MS, Bench, CREDENTIALS, kinds};
    use super::*;

    fn read(account: &mut Account, bench: &mut Bench, found: Option<&[u8]>) -> Vec<Action> {
        bench.run(|cx| account.on_commitment_read(cx, Ok(found.map(<[u8]>::to_vec))))
    }

    #[test]
    fn credentials_that_differ_are_committed_and_read_back() {
        let (mut account, mut bench) = (Account::default(), Bench::at(100));
        let registered = |account: &mut Account, bench: &mut Bench| {
            kinds(&bench.run(|cx| account.on_registration_read(cx, Ok(Some(7)))))
        };
        assert_eq!(registered(&mut account, &mut bench), ["ReadCommitment"]);
        assert_eq!(registered(&mut account, &mut bench), [""; 0], "one reading at a time");
        assert_eq!(read(&mut account, &mut bench, Some(b"other")), [Action::Commit(CREDENTIALS.to_vec())]);
        assert_eq!(kinds(&bench.run(|cx| account.on_commitment_answered(cx, Ok(())))), ["ReadCommitment"]);
        assert_eq!(read(&mut account, &mut bench, Some(&CREDENTIALS)), []);
        // The next check reads them again: another tool may have changed them.
        assert_eq!(registered(&mut account, &mut bench), ["ReadCommitment"]);
    }

    #[test]
    fn a_commitment_of_unknown_outcome_is_sent_again_only_once_it_can_no_longer_be_included() {
        let (mut account, mut bench) = (Account::default(), Bench::at(100));
        let unknown = CommitError::Unknown("no answer".to_owned());
        bench.run(|cx| account.on_commitment_answered(cx, Err(unknown)));
        bench.now_ms += INCLUSION_BLOCKS_MAX * BLOCK_MS - 1;
        assert_eq!(kinds(&read(&mut account, &mut bench, None)), ["SetTimer"]);
        bench.now_ms += 1;
        assert_eq!(kinds(&read(&mut account, &mut bench, None)), ["Commit"]);
    }

    #[test]
    fn failed_reads_and_refusals_are_checked_again_two_blocks_later() {
        let later = Action::SetTimer { timer: Timer::Account, at_ms: 1_000 + 2 * BLOCK_MS };
        let gone = || ChainError::Unreachable("gone".to_owned());
        let inputs: [fn(&mut Account, &mut Context<'_>, ChainError); 4] = [
            |account, cx, error| account.on_registration_read(cx, Err(error)),
            |account, cx, _| account.on_registration_read(cx, Ok(None)),
            |account, cx, error| account.on_commitment_read(cx, Err(error)),
            |account, cx, _| account.on_commitment_answered(cx, Err(CommitError::Refused("no".to_owned()))),
        ];
        for input in inputs {
            let (mut account, mut bench) = (Account::default(), Bench::at(100));
            let actions = bench.run(|cx| input(&mut account, cx, gone()));
            assert_eq!((kinds(&actions)[0].as_str(), actions.last()), ("Report", Some(&later)));
        }
    }

    #[test]
    fn only_a_clear_answer_makes_mining_pointless() {
        let (mut account, mut bench) = (Account::default(), Bench::at(100));
        assert!(!account.is_unregistered());
        bench.run(|cx| account.on_registration_read(cx, Ok(None)));
        assert!(account.is_unregistered());
        bench.run(|cx| account.on_registration_read(cx, Err(ChainError::Unreachable("gone".to_owned()))));
        assert!(account.is_unregistered(), "an error tells nothing");
        bench.run(|cx| account.on_registration_read(cx, Ok(Some(0))));
        assert!(!account.is_unregistered());
    }

    #[test]
    fn each_answer_changes_what_is_known_of_the_account() {
        let shown = |account: &Account| {
            (account.registered, account.commitment, account.was_equal, account.on_its_way_until_ms)
        };
        let (mut account, mut bench) = (Account::default(), Bench::at(100));
        assert_eq!(shown(&account), (None, Commitment::Unknown, false, 0));
        bench.run(|cx| account.on_registration_read(cx, Ok(Some(7))));
        assert_eq!(shown(&account), (Some(true), Commitment::Reading, false, 0));
        read(&mut account, &mut bench, None);
        assert_eq!(shown(&account), (Some(true), Commitment::Writing, false, 0));
        bench.run(|cx| account.on_commitment_answered(cx, Err(CommitError::Unknown("no answer".to_owned()))));
        assert_eq!(shown(&account), (Some(true), Commitment::Reading, false, 1_000 + 5 * BLOCK_MS));
        read(&mut account, &mut bench, Some(&CREDENTIALS));
        assert_eq!(shown(&account), (Some(true), Commitment::Equal, true, 1_000 + 5 * BLOCK_MS));
        assert_eq!(bench.run(|cx| account.check(cx)), [Action::ReadRegistration]);
    }
}
