//! Secrets that must not be on a tape, and their replacement.

use std::borrow::Cow;

use grail_miner::machine::{Action, Event};
use sha2::{Digest, Sha256};

/// Returns bytes of the same length that only show whether two secrets are equal.
pub(super) fn stand_in(secret: &[u8]) -> Vec<u8> {
    let digest = Sha256::new().chain_update("grail-tape-stand-in").chain_update(secret).finalize();
    digest.iter().copied().cycle().take(secret.len()).collect()
}

/// Returns the event without secrets.
pub(super) fn redacted(event: &Event) -> Event {
    match event {
        Event::CommitmentRead(Ok(Some(credentials))) => Event::CommitmentRead(Ok(Some(stand_in(credentials)))),
        other => other.clone(),
    }
}

/// Returns the action without secrets.
pub(super) fn redacted_action(action: &Action) -> Cow<'_, Action> {
    match action {
        Action::Commit(credentials) => Cow::Owned(Action::Commit(stand_in(credentials))),
        // Long values are not copied just for their line.
        other => Cow::Borrowed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_keeps_length_and_equality_and_nothing_else() {
        let secret = b"planted read key of a bucket".repeat(5);
        let stood = stand_in(&secret);
        assert_eq!(stood.len(), secret.len());
        assert_eq!(stood, stand_in(&secret));
        assert_ne!(stood, stand_in(b"another"));
        assert!(!stood.windows(7).any(|window| window == b"planted"));
        let event = Event::CommitmentRead(Ok(Some(secret.clone())));
        assert_eq!(redacted(&event), Event::CommitmentRead(Ok(Some(stood.clone()))));
        assert_eq!(*redacted_action(&Action::Commit(secret)), Action::Commit(stood));
    }
}
