//! Registration and the read credentials on chain.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::event::Timer;
use super::receipt::Area;
use super::view::View;
use super::{Actions, Machine, trouble};
use crate::answers::{ChainError, CommitError, Now};
use crate::behaviour::Behaviour;
use crate::mutants::{Mutant, planted};

/// A commitment that is not included after this many blocks will not be.
const INCLUSION_BLOCKS_MAX: u64 = 5;

/// What is known of our account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Account {
    /// Whether the hotkey has a uid; unknown before the first answer.
    registered: Option<bool>,
    commitment: Commitment,
    /// It was found to be right before.
    #[serde(default)]
    was_equal: bool,
    /// Until when a commitment whose outcome is unknown may still be included, in monotonic milliseconds.
    #[serde(default)]
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
    pub(super) fn describe(&self, view: &mut View) {
        let Self { registered, commitment, was_equal, on_its_way_until_ms } = self;
        view.line(
            "account.registered",
            registered.map_or("unknown".to_owned(), |is_registered| is_registered.to_string()),
        );
        view.line("account.commitment", commitment.name());
        view.line("account.was_equal", was_equal);
        view.line("account.on_its_way_until_ms", on_its_way_until_ms);
    }

    /// Whether mining is known to be pointless.
    pub(super) fn is_unregistered(&self) -> bool {
        self.registered == Some(false)
    }
}

impl Commitment {
    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::Equal => "equal",
        }
    }
}

impl Machine {
    /// Read registration again; the commitment follows until it is known to be right.
    pub(super) fn check_account(&mut self, actions: &mut Actions) {
        actions.push(Action::ReadRegistration);
    }

    pub(super) fn registration_read(
        &mut self,
        now: Now,
        result: Result<Option<u16>, ChainError>,
        actions: &mut Actions,
    ) {
        match result {
            Ok(uid) => {
                self.account.registered = Some(uid.is_some());
                if uid.is_some() {
                    // Another tool, or the loss of the uid, may have changed it since it was read.
                    let is_read_again = self.config.behaviours.contains(&Behaviour::CommitmentReadAgain);
                    let is_read_again = is_read_again && !planted(Mutant::CommitmentReadOnce);
                    if self.account.commitment == Commitment::Equal && is_read_again {
                        self.account.commitment = Commitment::Unknown;
                    }
                    self.read_commitment(actions);
                } else {
                    self.marks.sometimes("hotkey-is-not-registered");
                    let text = "the hotkey is not registered on the subnet; register it, mining starts by itself then";
                    actions.push(trouble(Area::Chain, text));
                    self.account_later(now, actions);
                }
            }
            Err(error) => {
                actions.push(trouble(Area::Chain, error));
                self.account_later(now, actions);
            }
        }
    }

    pub(super) fn commitment_read(
        &mut self,
        now: Now,
        result: Result<Option<Vec<u8>>, ChainError>,
        actions: &mut Actions,
    ) {
        match result {
            Ok(found) if found.as_ref() == Some(&self.config.read_credentials) => {
                self.account.commitment = Commitment::Equal;
                self.account.was_equal = true;
            }
            Ok(_) if now.monotonic_ms < self.account.on_its_way_until_ms && !planted(Mutant::CommitsWithoutPause) => {
                // Another one would race with it for the nonce.
                self.marks.sometimes("commitment-is-on-its-way");
                self.account.commitment = Commitment::Unknown;
                self.account_later(now, actions);
            }
            Ok(_) => {
                if self.account.was_equal {
                    self.marks.sometimes("commitment-differs-from-what-was-read-before");
                }
                self.account.commitment = Commitment::Writing;
                actions.push(Action::Commit(self.config.read_credentials.clone()));
            }
            Err(error) => {
                self.account.commitment = Commitment::Unknown;
                actions.push(trouble(Area::Commitment, error));
                self.account_later(now, actions);
            }
        }
    }

    pub(super) fn commitment_answered(&mut self, now: Now, result: Result<(), CommitError>, actions: &mut Actions) {
        self.account.commitment = Commitment::Unknown;
        match result {
            // What is on chain counts, not what was answered: read it.
            Ok(()) => self.read_commitment(actions),
            Err(error @ CommitError::Unknown(_)) => {
                actions.push(trouble(Area::Commitment, error));
                self.account.on_its_way_until_ms = now.monotonic_ms + INCLUSION_BLOCKS_MAX * self.config.block_ms;
                self.read_commitment(actions);
            }
            Err(error @ CommitError::Refused(_)) => {
                actions.push(trouble(Area::Commitment, error));
                if planted(Mutant::SecretTold) {
                    let told = String::from_utf8_lossy(&self.config.read_credentials).into_owned();
                    actions.push(trouble(Area::Commitment, told));
                }
                self.account_later(now, actions);
            }
        }
    }

    fn read_commitment(&mut self, actions: &mut Actions) {
        if self.account.commitment == Commitment::Unknown || planted(Mutant::CommitsTwice) {
            self.account.commitment = Commitment::Reading;
            actions.push(Action::ReadCommitment);
        }
    }

    fn account_later(&self, now: Now, actions: &mut Actions) {
        let at_ms = now.monotonic_ms + 2 * self.config.block_ms;
        actions.push(Action::SetTimer { timer: Timer::Account, at_ms });
    }
}
