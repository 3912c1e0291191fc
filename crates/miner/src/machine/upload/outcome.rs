//! Why a window with clean groups has no upload.

use super::super::receipt::WindowOutcome;
use super::{Stage, Upload};

const HASH_UNCONFIRMED: &str = "the window's block hash could not be confirmed";
const NOT_CONFIRMED: &str = "the upload was not confirmed before the window ended";
const NOT_SHOWN: &str = "a write was acknowledged, and validators could not read it yet when the window ended";

impl Upload {
    /// Returns why something clean was not uploaded.
    ///
    /// The bucket's failures come first: before each attempt the hash is confirmed, so that the last stage alone says
    /// nothing about why there were that many.
    pub(in crate::machine) fn failure(&self) -> WindowOutcome {
        let hash = self.attempts.hash().filter(|_| self.is_confirming());
        // A bucket that was down for a whole window was once reported as `kept back`, with the block hash as the
        // reason.
        match (self.failure_of_bucket(), hash) {
            (Some(bucket), None) => WindowOutcome::Lost(bucket),
            (Some(bucket), Some(hash)) => WindowOutcome::Lost(format!("{bucket}; then {HASH_UNCONFIRMED}, {hash}")),
            (None, Some(hash)) => WindowOutcome::KeptBack(format!("{HASH_UNCONFIRMED}, {hash}")),
            (None, None) if self.is_confirming() => WindowOutcome::KeptBack(HASH_UNCONFIRMED.to_owned()),
            (None, None) if self.is_acknowledged() => WindowOutcome::Lost(NOT_SHOWN.to_owned()),
            (None, None) => WindowOutcome::Lost(NOT_CONFIRMED.to_owned()),
        }
    }

    /// A refusal ends the attempts and so comes first; those before it follow.
    fn failure_of_bucket(&self) -> Option<String> {
        let failures = self.attempts.bucket();
        let Some(refused) = self.refused.clone() else { return failures };
        Some(match failures.filter(|_| self.attempts.bucket_failed_repeatedly()) {
            Some(failures) => format!("{refused}; {failures}"),
            None => refused,
        })
    }

    /// Returns the reason to give up a pending file; `says` states that it is not there.
    pub(super) fn reason(&self, says: &str) -> String {
        match self.attempts.last_of_bucket() {
            Some(last) => format!("{says}: {last}"),
            None => says.to_owned(),
        }
    }

    fn is_confirming(&self) -> bool {
        self.stage().is_some_and(|stage| *stage == Stage::Confirming)
    }

    fn is_acknowledged(&self) -> bool {
        matches!(self.stage(), Some(Stage::Reading { written: true, .. }))
    }

    /// Returns the stage that the upload is in, or waits to continue with.
    fn stage(&self) -> Option<&Stage> {
        self.job.as_ref().map(|job| match &job.stage {
            Stage::Pausing(next) => &**next,
            stage => stage,
        })
    }
}
