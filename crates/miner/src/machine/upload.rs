//! The upload: confirm the block hash, journal, put, read back; again if it fails, and again if there are more groups.

mod attempts;
mod outcome;
mod pause;
#[cfg(test)]
mod tests;

use grail_protocol::group::SignedGroup;
use grail_protocol::window_file::PackedGroup;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::action::Action;
use super::choice::Choice;
use super::context::Context;
use super::event::Timer;
use super::groups::Groups;
use super::hash::Hash;
use super::ledger::{self, Entry, FileLedger};
use super::receipt::Area;
use crate::answers::{BucketError, Etag, PutCondition};
use crate::decisions;
use crate::policy::is_more;

pub(super) use self::attempts::Attempts;
use self::pause::jittered;

/// Reason for a write that was acknowledged but that validators would not find.
const NOT_WHERE_VALIDATORS_READ: &str = "a write was acknowledged, and there is no object where validators read; see that \
                                         R2_ENDPOINT_URL and R2_ACCOUNT_ID name the same bucket";

/// An upload is given up when it takes this many times what is expected. For what is expected of the next one, an upload with
/// failures counts as at most that long.
const PATIENCE: u64 = 4;

/// Read-backs that may find nothing after a write that was acknowledged.
const MISSING_READS_MAX: u32 = 5;

/// The state of a window's object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Upload {
    window_start: u64,
    job: Option<Job>,
    confirmed: Option<Confirmed>,
    /// Version of the object that is ours.
    etag: Option<Etag>,
    /// Every file that we may have written to this window's object.
    ledger: FileLedger,
    /// The object may hold work of an earlier generation and must go.
    must_delete: bool,
    /// Why no further attempt can succeed.
    refused: Option<String>,
    /// Everything that failed since the last success.
    attempts: Attempts,
    last_began_ms: Option<u64>,
    /// The length of the clean run for which `choice` was computed.
    considered: usize,
    choice: Option<Choice>,
}

/// A file that was read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Confirmed {
    pub(super) groups: usize,
    pub(super) digest: String,
    /// Unknown where a process that crashed had confirmed it.
    pub(super) slack_ms: Option<u64>,
    worth: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    choice: Choice,
    stage: Stage,
    digest: String,
    attempts: u32,
    began_ms: u64,
    /// No time is left; the job stays only so that the receipt can say where it got stuck.
    given_up: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// The block hash is being read again.
    Confirming,
    /// The journal learns of the file before the bucket does.
    #[serde(rename = "Journalling")]
    Journaling { bytes: Vec<u8> },
    /// The file is being written.
    Putting,
    /// The object is being read; `written` if the write was acknowledged, `strange` is the digest of an object that is
    /// not ours.
    Reading { written: bool, missing: u32, strange: Option<String> },
    /// The object of an earlier generation is being removed.
    Deleting,
    /// Waiting to continue.
    Pausing(Box<Stage>),
}

impl Upload {
    pub(super) fn new(window_start: u64) -> Self {
        Self { window_start, ..Self::default() }
    }

    pub(super) const fn confirmed(&self) -> Option<&Confirmed> {
        self.confirmed.as_ref()
    }

    /// Returns whether a write is on its way.
    pub(super) fn put_in_flight(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.stage == Stage::Putting)
    }

    /// Returns whether there is more to do, and time to do it.
    pub(super) fn is_in_progress(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.given_up)
    }

    /// Returns whether a file may have been written.
    pub(super) const fn has_files(&self) -> bool {
        !self.ledger.is_empty()
    }

    /// Returns every file that may have been written.
    pub(super) fn into_ledger(self) -> FileLedger {
        self.ledger
    }

    /// Restores a crashed process's record of this window's files.
    pub(super) fn restore(&mut self, cx: &Context<'_>, groups: &Groups, ledger: FileLedger) {
        let done = ledger.newest_done().cloned();
        self.ledger = ledger;
        if let Some(done) = done {
            self.note_confirmed(cx, groups, done, None);
        }
    }

    /// Files of this window under another block hash must not be found by a validator.
    pub(super) fn disown(&mut self, ledger: FileLedger) {
        self.must_delete = !ledger.is_empty();
        self.ledger = ledger;
    }

    /// Removes files of the old hash, so that no validator finds them.
    pub(super) fn on_reorganised(&mut self, cx: &mut Context<'_>) {
        // A write in flight must be answered before any other operation on the object.
        if !self.put_in_flight() {
            self.job = None;
            cx.push(Action::ClearTimer(Timer::Retry));
        }
        self.attempts = Attempts::default();
        self.must_delete = !self.ledger.is_empty();
        self.confirmed = None;
        self.considered = 0;
        self.choice = None;
    }

    /// Starts what is due: the removal of worthless work, or an upload that is worth more than what is there.
    pub(super) fn advance(
        &mut self,
        cx: &mut Context<'_>,
        hash: &mut Hash,
        groups: &Groups,
        is_open: bool,
        is_closing: bool,
    ) {
        let now_ms = cx.now_ms();
        // Worthless work is removed also while no context is known, since validators may find it.
        if self.job.is_some() || !is_open && !self.must_delete {
            return;
        }
        if self.must_delete {
            self.job = Some(Job::new(Choice { groups: 0, worth: 0.0 }, Stage::Deleting, now_ms));
            self.delete_object(cx);
            return;
        }
        if let Some(pending) = self.ledger.pending().filter(|_| self.refused.is_none()) {
            // A crashed process may have sent it.
            let choice = Choice { groups: pending.groups, worth: 0.0 };
            cx.sometimes("upload-of-a-crashed-process-is-looked-for");
            let digest = pending.digest.clone();
            self.job = Some(Job { digest, ..Job::new(choice, Stage::reading(false), now_ms) });
            self.read_object(cx);
            return;
        }
        // Only under a final hash: a file under a replaced one costs twelve windows, a missing file one twelfth of
        // that.
        let is_early = cx.settings.early_upload_ms.is_some_and(|gap_ms| {
            hash.is_final() && now_ms >= self.last_began_ms.map_or(0, |last_ms| last_ms + gap_ms)
        });
        // The last file must not wait for one before it.
        let expected = groups.file_expected(cx.settings.policy);
        let delays_last = now_ms + cx.upload_takes_ms(expected) > cx.upload_ms(self.window_start, expected);
        let is_due = is_closing || is_early && !delays_last;
        if !is_due || self.refused.is_some() || now_ms >= cx.end_ms(self.window_start) {
            return;
        }
        let Some(choice) = self.better_choice(cx, groups) else { return };
        self.last_began_ms = Some(now_ms);
        self.job = Some(Job::new(choice, Stage::Confirming, now_ms));
        hash.read(cx);
    }

    /// Returns the choice of groups that is worth more than what was confirmed.
    fn better_choice(&mut self, cx: &Context<'_>, groups: &Groups) -> Option<Choice> {
        let available = groups.clean_prefix();
        // `advance` runs after every event, and a choice looks at every solution of the window.
        if available != self.considered {
            self.considered = available;
            self.choice = groups.choose(cx.settings.policy, available);
        }
        self.choice.filter(|choice| match &self.confirmed {
            None => choice.groups > 0,
            // The best choice of more clean groups is never a part of the one before. But a process that had lost the
            // groups of a confirmed file made them again, and sent the same file (case
            // `a-file-whose-groups-a-crash-lost-is-not-replaced-by-its-like`).
            Some(confirmed) => {
                is_more(choice.worth, confirmed.worth)
                    && (choice.groups > confirmed.groups || !cx.settings.decisions.contains(decisions::MORE_GROUPS))
            }
        })
    }

    /// The block hash is still the same. Packs the file once the hash is final.
    pub(super) fn on_hash_confirmed(&mut self, cx: &mut Context<'_>, hash: &Hash, groups: &Groups) {
        let Some(job) = self.job.as_mut().filter(|job| job.stage == Stage::Confirming) else { return };
        if !hash.is_final() {
            // A file under a hash that is replaced afterwards costs twelve windows; waiting costs seconds.
            self.pause(cx, Stage::Confirming);
            return;
        }
        // After a crash the journal may know a file and not its groups, which a full disk refused: an empty file was
        // once uploaded (case `a-file-whose-groups-a-crash-lost-is-not-written-again`).
        if groups.clean_prefix() < job.choice.groups && cx.settings.decisions.contains(decisions::WHOLE_FILES) {
            self.job = None;
            return;
        }
        let packed: Vec<_> = groups.prefix(job.choice.groups).map(SignedGroup::packed).collect();
        let timestamp = cx.now.wall_ms as f64 / 1000.0;
        let bytes = PackedGroup::join(&packed, &cx.settings.hotkey.to_ss58(), self.window_start, timestamp);
        job.digest = hex::encode(Sha256::digest(&bytes));
        job.stage = Stage::Journaling { bytes };
        self.ledger.start(self.window_start, &job.digest, job.choice.groups, cx.out);
    }

    /// The block hash could not be read, and may have changed.
    pub(super) fn on_hash_failed(&mut self, cx: &mut Context<'_>, why: &str) {
        if self.job.as_ref().is_some_and(|job| job.stage == Stage::Confirming) {
            self.attempts.hash_failed(why);
            self.pause(cx, Stage::Confirming);
        }
    }

    /// The journal has answered. A file is sent even if the journal does not know it: an upload that is lost costs more
    /// than one that a crash leaves unexplained.
    pub(super) fn on_journaled(&mut self, cx: &mut Context<'_>) {
        let Some(job) = self.job.as_mut().filter(|job| matches!(job.stage, Stage::Journaling { .. })) else { return };
        let Stage::Journaling { bytes } = std::mem::replace(&mut job.stage, Stage::Putting) else { return };
        // A second miner with this hotkey is noticed by the condition, and neither file is written over the other.
        let condition = self.etag.clone().map_or(PutCondition::Absent, PutCondition::Matches);
        // An answer that takes many times what is expected will not come; on a slow link a large file is expected to take long.
        let least_ms = (2 * cx.settings.block_ms).max(2_000);
        let patience_ms = (PATIENCE * cx.upload_takes_ms(job.choice.groups)).max(least_ms);
        let limit_ms = cx.end_ms(self.window_start).saturating_sub(cx.now_ms()).min(patience_ms);
        let key = cx.key(self.window_start);
        cx.push(Action::Upload { window_start: self.window_start, key, bytes, condition, limit_ms });
    }

    pub(super) fn on_put_answered(&mut self, cx: &mut Context<'_>, result: Result<Etag, BucketError>) {
        let Some(job) = self.job.as_mut().filter(|job| job.stage == Stage::Putting) else { return };
        // The first block was replaced while the file was written; `advance` removes it.
        if self.must_delete {
            self.job = None;
            return;
        }
        match result {
            Ok(etag) => {
                self.etag = Some(etag);
                job.stage = Stage::reading(true);
                self.read_object(cx);
            }
            Err(error) => {
                cx.trouble(Area::Bucket, &error);
                self.attempts.bucket_failed(&error);
                match error {
                    BucketError::Transient(why) => {
                        self.ledger.abandon_pending(self.window_start, &why, cx.out);
                        // Nothing was written. The hash may change during the pause, so it is confirmed again.
                        self.pause(cx, Stage::Confirming);
                    }
                    // It may be there: only a read shows that.
                    BucketError::Unknown(_) | BucketError::ConditionFailed => {
                        cx.timing.note_upload_late(cx.now.monotonic_ms - job.began_ms, cx.now.monotonic_ms);
                        job.stage = Stage::reading(false);
                        self.read_object(cx);
                    }
                    BucketError::Refused(why) => {
                        self.ledger.abandon_pending(self.window_start, &why, cx.out);
                        self.refuse(cx, BucketError::Refused(why).to_string());
                    }
                }
            }
        }
    }

    pub(super) fn on_object_read(
        &mut self,
        cx: &mut Context<'_>,
        groups: &Groups,
        result: Result<Option<(String, Etag)>, BucketError>,
    ) {
        let Some(job) = self.job.as_ref() else { return };
        let Stage::Reading { written, missing, strange } = job.stage.clone() else { return };
        match result {
            Ok(Some((digest, etag))) if digest == job.digest => {
                self.etag = Some(etag);
                self.confirm(cx, groups);
            }
            Ok(Some((digest, etag))) if self.ledger.knows(&digest) => {
                self.etag = Some(etag);
                if written {
                    // The write was acknowledged and is not visible yet.
                    cx.sometimes("acknowledged-write-is-not-visible");
                    self.pause(cx, Stage::Reading { written, missing, strange: None });
                    return;
                }
                cx.sometimes("known-file-shows-after-an-unknown-outcome");
                let wanted = job.choice.groups;
                if self.confirm_older(cx, groups, &digest) == Some(wanted) {
                    // A file of the same groups is not written again.
                    self.job = None;
                } else {
                    self.pause(cx, Stage::Confirming);
                }
            }
            Ok(Some((digest, _))) if strange.as_ref() != Some(&digest) => {
                // Bytes may be altered on their way; what another writer wrote is the same when it is read again.
                cx.sometimes("object-is-not-what-was-written");
                self.pause(cx, Stage::Reading { written, missing, strange: Some(digest) });
            }
            Ok(Some(_)) => {
                cx.sometimes("another-writer-is-in-the-bucket");
                let error = BucketError::ConditionFailed;
                self.attempts.bucket_failed(&error);
                self.ledger.abandon_pending(self.window_start, &error.to_string(), cx.out);
                self.refuse(cx, error.to_string());
            }
            Ok(None) if written && missing < MISSING_READS_MAX => {
                cx.sometimes("acknowledged-write-is-not-visible");
                self.pause(cx, Stage::Reading { written, missing: missing + 1, strange });
            }
            Ok(None) => {
                if written {
                    cx.sometimes("acknowledged-write-is-never-found");
                    self.attempts.bucket_is_wrong(NOT_WHERE_VALIDATORS_READ);
                    cx.trouble(Area::Bucket, NOT_WHERE_VALIDATORS_READ);
                }
                let why = self.reason(ledger::NOT_THERE);
                // Nothing is there, so the next write must create the object.
                self.etag = None;
                self.ledger.abandon_pending(self.window_start, &why, cx.out);
                self.pause(cx, Stage::Confirming);
            }
            Err(error) => {
                cx.trouble(Area::Bucket, &error);
                self.attempts.bucket_failed(&error);
                match error {
                    BucketError::Refused(_) => self.refuse(cx, error.to_string()),
                    _ => self.pause(cx, Stage::Reading { written, missing, strange }),
                }
            }
        }
    }

    pub(super) fn on_object_deleted(&mut self, cx: &mut Context<'_>, result: Result<(), BucketError>) {
        if !self.job.as_ref().is_some_and(|job| job.stage == Stage::Deleting) {
            return;
        }
        match result {
            Ok(()) => {
                self.job = None;
                self.must_delete = false;
                self.etag = None;
                self.ledger.removed(self.window_start, "the window's first block was replaced", cx.out);
            }
            Err(error) => {
                cx.trouble(Area::Bucket, &error);
                self.attempts.bucket_failed(&error);
                self.pause(cx, Stage::Deleting);
            }
        }
    }

    /// The retry timer fired: continue with the stage that waits.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>, hash: &mut Hash) {
        let Some(job) = self.job.as_mut() else { return };
        let Stage::Pausing(next) = &job.stage else { return };
        job.stage = (**next).clone();
        match job.stage {
            Stage::Confirming => hash.read(cx),
            Stage::Reading { .. } => self.read_object(cx),
            Stage::Deleting => self.delete_object(cx),
            Stage::Journaling { .. } | Stage::Putting | Stage::Pausing(_) => {}
        }
    }

    fn read_object(&self, cx: &mut Context<'_>) {
        cx.push(Action::ReadObject { window_start: self.window_start, key: cx.key(self.window_start) });
    }

    fn delete_object(&self, cx: &mut Context<'_>) {
        cx.push(Action::DeleteObject { window_start: self.window_start, key: cx.key(self.window_start) });
    }

    /// The read key fetched exactly what was written.
    fn confirm(&mut self, cx: &mut Context<'_>, groups: &Groups) {
        let Some(job) = self.job.take() else { return };
        let now_ms = cx.now_ms();
        cx.sometimes("upload-is-confirmed");
        let mut took_ms = now_ms - job.began_ms;
        // A bucket that failed for minutes and works again was taken for a slow link, and half of the next window was not
        // mined (case `a-bucket-that-failed-for-minutes-is-no-slow-link`).
        if self.attempts != Attempts::default() && cx.settings.decisions.contains(decisions::FAILING_IS_NOT_SLOW) {
            took_ms = took_ms.min(PATIENCE * cx.upload_takes_ms(job.choice.groups));
        }
        cx.timing.note_upload(took_ms, job.choice.groups, now_ms);
        let slack_ms = cx.end_ms(self.window_start).saturating_sub(now_ms);
        if let Some(entry) = self.ledger.done(self.window_start, &job.digest, cx.out) {
            self.note_confirmed(cx, groups, entry, Some(slack_ms));
        }
        self.attempts = Attempts::default();
    }

    /// Confirms an older file of ours that is there instead. Returns its groups.
    fn confirm_older(&mut self, cx: &mut Context<'_>, groups: &Groups, digest: &str) -> Option<usize> {
        let found = self.ledger.done(self.window_start, digest, cx.out);
        let count = found.as_ref().map(|entry| entry.groups);
        if let Some(entry) = found {
            let slack_ms = self.confirmed.as_ref().filter(|known| known.digest == digest);
            let slack_ms = slack_ms.and_then(|known| known.slack_ms);
            self.note_confirmed(cx, groups, entry, slack_ms);
        }
        self.ledger.abandon_pending(self.window_start, ledger::NOT_THERE, cx.out);
        count
    }

    fn note_confirmed(&mut self, cx: &Context<'_>, groups: &Groups, entry: Entry, slack_ms: Option<u64>) {
        let worth = groups.worth_of(cx.settings.policy, entry.groups);
        self.confirmed = Some(Confirmed { groups: entry.groups, digest: entry.digest, slack_ms, worth });
    }

    fn refuse(&mut self, cx: &mut Context<'_>, why: String) {
        // A refusal, such as an expired key, is not tried again within the window.
        cx.sometimes("upload-is-refused");
        self.job = None;
        self.refused = Some(why);
    }

    /// Waits a little and continues with `next`, unless the window ends before.
    fn pause(&mut self, cx: &mut Context<'_>, next: Stage) {
        let Some(job) = self.job.as_mut() else { return };
        // At most 0.5 s at first and 8 s from the fifth attempt on, at a block time of 12 s.
        let pause_ms = jittered((cx.settings.block_ms / 24) << job.attempts.min(4), &cx.settings.hotkey, job);
        job.attempts += 1;
        let at_ms = cx.now_ms() + pause_ms;
        // Worthless work is removed even late; anything else that validators would not read in time is not sent.
        job.given_up = at_ms >= cx.end_ms(self.window_start) && next != Stage::Deleting;
        job.stage = Stage::Pausing(Box::new(next));
        if job.given_up {
            cx.sometimes("upload-has-no-time-left");
        } else {
            cx.push(Action::SetTimer { timer: Timer::Retry, at_ms });
        }
    }
}

impl Stage {
    const fn reading(written: bool) -> Self {
        Self::Reading { written, missing: 0, strange: None }
    }
}

impl Job {
    const fn new(choice: Choice, stage: Stage, began_ms: u64) -> Self {
        Self { choice, stage, digest: String::new(), attempts: 0, began_ms, given_up: false }
    }
}
