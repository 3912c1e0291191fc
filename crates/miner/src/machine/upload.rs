//! The upload: confirm the block hash, journal, put, read back; again if it fails, and again if there is more to show.

mod attempts;
mod confirmed;
mod description;
mod outcome;
mod pause;

use grail_protocol::rollout::Rollout;
use grail_protocol::window_file::{PackedGroup, WindowFile, object_key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::action::Action;
use super::choice::Choice;
use super::event::{JournalEntry, Timer};
use super::ledger::Ledger;
use super::receipt::Area;
use super::{Actions, Machine, ledger, trouble};
use crate::answers::{BucketError, Etag, JournalError, Now, PutCondition};
use crate::behaviour::Behaviour;
use crate::group::SignedGroup;
use crate::mutants::{Mutant, planted};

pub(super) use self::attempts::Attempts;
use self::pause::jittered;

/// What is told of a write that was acknowledged and that validators would not find.
const NOT_WHERE_VALIDATORS_READ: &str = "a write was acknowledged, and there is no object where validators read; see that \
                                         R2_ENDPOINT_URL and R2_ACCOUNT_ID name the same bucket";

/// Read-backs that may find nothing after a write that was acknowledged.
const MISSING_READS_MAX: u32 = 5;

/// The state of a window's object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Upload {
    job: Option<Job>,
    confirmed: Option<Confirmed>,
    /// Version of the object that is ours.
    etag: Option<Etag>,
    /// Every file that we may have written to this window's object.
    ledger: Ledger,
    /// The object may hold work of an earlier generation and must go.
    must_delete: bool,
    /// Why no further attempt can succeed.
    refused: Option<String>,
    last_trouble: Option<String>,
    /// Everything that failed; nothing of it is kept where nothing did, as on tapes of before.
    #[serde(default, skip_serializing_if = "Attempts::is_empty")]
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
    /// No time is left; the job stays only so that the receipt can tell where it got stuck.
    given_up: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// The block hash is being read again.
    Confirming,
    /// The journal learns of the file before the bucket does.
    Journalling { bytes: Vec<u8> },
    /// The file is being written.
    Putting,
    /// The object is being read; `written` if the write was acknowledged, `strange` the digest of something that is none
    /// of our files.
    Reading {
        written: bool,
        missing: u32,
        #[serde(default)]
        strange: Option<String>,
    },
    /// The object of an earlier generation is being removed.
    Deleting,
    /// Waiting to go on.
    Pausing(Box<Stage>),
}

impl Upload {
    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Files of this window under another block hash must not be found by a validator.
    pub(super) fn disown(&mut self, ledger: Ledger) {
        self.must_delete = !ledger.is_empty();
        self.ledger = ledger;
    }

    /// Whether a write is on its way.
    pub(super) fn put_in_flight(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.stage == Stage::Putting)
    }

    pub(super) const fn confirmed(&self) -> Option<&Confirmed> {
        self.confirmed.as_ref()
    }

    /// What was uploaded under the old hash must not be found by a validator.
    pub(super) fn reorganised(&mut self, out: &mut Actions) {
        // A write in flight is answered before anything else is done with the object.
        if !self.put_in_flight() {
            self.job = None;
            out.push(Action::ClearTimer(Timer::Retry));
        }
        self.attempts = Attempts::default();
        self.must_delete = !self.ledger.is_empty();
        self.confirmed = None;
        self.considered = 0;
        self.choice = None;
    }
}

impl Machine {
    pub(super) fn upload_in_progress(&self) -> bool {
        let job = self.window.as_ref().and_then(|window| window.upload.job.as_ref());
        job.is_some_and(|job| !job.given_up)
    }

    /// Begin what is due: the removal of worthless work, or an upload that is worth more than what is there.
    pub(super) fn advance_upload(&mut self, now: Now, out: &mut Actions) {
        let now_ms = now.monotonic_ms;
        let Some(window) = self.window.as_mut() else { return };
        if window.upload.job.is_some() || window.context.is_none() && !window.upload.must_delete {
            return;
        }
        let end_ms = self.timing.end_ms(window.start, now_ms);
        if window.upload.must_delete {
            window.upload.job = Some(Job::new(Choice { groups: 0, worth: 0.0 }, Stage::Deleting, now_ms));
            out.push(Action::DeleteObject {
                window_start: window.start,
                key: object_key(&self.config.hotkey.to_ss58(), window.start),
            });
            return;
        }
        let pending = window.upload.ledger.pending().filter(|_| !planted(Mutant::PendingForgotten));
        if let Some(pending) = pending.filter(|_| window.upload.refused.is_none()) {
            // A process that crashed has sent it, or not.
            let choice = Choice { groups: pending.groups, worth: 0.0 };
            self.marks.sometimes("upload-of-a-crashed-process-is-looked-for");
            let reading = Stage::reading(false);
            let digest = pending.digest.clone();
            window.upload.job = Some(Job { digest, ..Job::new(choice, reading, now_ms) });
            self.read_object(out);
            return;
        }
        let soonest_ms =
            window.upload.last_began_ms.zip(self.config.early_upload_ms).map_or(0, |(last, gap)| last + gap);
        let early = self.config.early_upload_ms.is_some() && window.hash_final && now_ms >= soonest_ms;
        let due = window.closing || early;
        if !due || window.upload.refused.is_some() || now_ms >= end_ms {
            return;
        }
        let Some(choice) = window.better_choice(self.config.policy) else {
            return;
        };
        window.upload.last_began_ms = Some(now_ms);
        window.upload.job = Some(Job::new(choice, Stage::Confirming, now_ms));
        self.read_hash(out);
    }

    /// The block hash is still the same; once nothing can replace it any more, the file is packed.
    pub(super) fn hash_confirmed(&mut self, now: Now, out: &mut Actions) {
        let hotkey = self.config.hotkey.to_ss58();
        let Some(window) = self.window.as_mut() else { return };
        let Some(job) = window.upload.job.as_mut().filter(|job| job.stage == Stage::Confirming) else {
            return;
        };
        if !window.hash_final {
            // A file under a hash that is replaced afterwards costs twelve windows; waiting costs seconds.
            self.pause_upload(now, Stage::Confirming, out);
            return;
        }
        let (count, timestamp) = (job.choice.groups, now.wall_ms as f64 / 1000.0);
        let bytes = if self.config.behaviours.contains(&Behaviour::GroupsArePackedOnce) {
            let groups: Vec<_> = window.groups.prefix(count).map(SignedGroup::packed).collect();
            PackedGroup::join(&groups, &hotkey, window.start, timestamp)
        } else {
            let rollouts: Vec<&Rollout> = window.groups.prefix(count).flatten().collect();
            WindowFile::new(&hotkey, window.start, rollouts, timestamp).pack()
        };
        job.digest = hex::encode(Sha256::digest(&bytes));
        job.stage = Stage::Journalling { bytes };
        if planted(Mutant::PutBeforeJournal) {
            let window_start = window.start;
            return self.put(now, window_start, out);
        }
        window.upload.ledger.start(window.start, &job.digest, job.choice.groups, out);
    }

    /// The block hash could not be read, and may have changed.
    pub(super) fn confirmation_failed(&mut self, now: Now, why: &str, out: &mut Actions) {
        let Some(window) = self.window.as_mut() else { return };
        if window.upload.job.as_ref().is_some_and(|job| job.stage == Stage::Confirming) {
            window.upload.attempts.hash_failed(why);
            self.pause_upload(now, Stage::Confirming, out);
        }
    }

    pub(super) fn journal_answered(
        &mut self,
        now: Now,
        entry: JournalEntry,
        result: Result<(), JournalError>,
        out: &mut Actions,
    ) {
        match entry {
            JournalEntry::Group(id) => self.group_journalled(id, result, out),
            JournalEntry::UploadStarted(window_start) => {
                if let Err(error) = result {
                    out.push(trouble(Area::Journal, error));
                    if planted(Mutant::JournalErrorStops) {
                        return;
                    }
                }
                self.put(now, window_start, out);
            }
            JournalEntry::Window(_)
            | JournalEntry::UploadDone(_)
            | JournalEntry::UploadAbandoned(_)
            | JournalEntry::WindowClosed(_) => {
                if let Err(error) = result {
                    out.push(trouble(Area::Journal, error));
                }
            }
        }
    }

    fn put(&mut self, now: Now, window_start: u64, out: &mut Actions) {
        let hotkey = self.config.hotkey.to_ss58();
        let Some(window) = self.window.as_mut().filter(|window| window.start == window_start) else {
            return;
        };
        let Some(job) = window.upload.job.as_mut() else { return };
        let Stage::Journalling { bytes } = std::mem::replace(&mut job.stage, Stage::Putting) else {
            return;
        };
        let condition = window.upload.etag.clone().map_or(PutCondition::Absent, PutCondition::Matches);
        let limit_ms = self.timing.end_ms(window_start, now.monotonic_ms).saturating_sub(now.monotonic_ms);
        let key = object_key(&hotkey, window_start);
        out.push(Action::Upload { window_start, key, bytes, condition, limit_ms });
    }

    pub(super) fn upload_answered(
        &mut self,
        now: Now,
        window_start: u64,
        result: Result<Etag, BucketError>,
        out: &mut Actions,
    ) {
        let Some(window) = self.window.as_mut().filter(|window| window.start == window_start) else {
            return self.late_upload_answered(window_start, result, out);
        };
        let Some(job) = window.upload.job.as_mut().filter(|job| job.stage == Stage::Putting) else {
            return;
        };
        if window.upload.must_delete {
            window.upload.job = None;
            return;
        }
        match result {
            Ok(etag) => {
                window.upload.etag = Some(etag);
                if planted(Mutant::SuccessWithoutReadBack) {
                    return self.confirm(now, out);
                }
                job.stage = Stage::reading(true);
                self.read_object(out);
            }
            Err(_) if planted(Mutant::UploadErrorSwallowed) => self.confirm(now, out),
            Err(error) => {
                out.push(trouble(Area::Bucket, &error));
                window.upload.last_trouble = Some(error.to_string());
                window.upload.attempts.bucket_failed(&error);
                match error {
                    error @ BucketError::Transient(_) if planted(Mutant::TransientIsFinal) => {
                        window.upload.ledger.abandon_pending(window_start, ledger::NOT_THERE, out);
                        self.refuse(error.to_string());
                    }
                    BucketError::Transient(why) => {
                        window.upload.ledger.abandon_pending(window_start, &why, out);
                        self.pause_upload(now, Stage::Confirming, out);
                    }
                    BucketError::Unknown(_) | BucketError::ConditionFailed => {
                        job.stage = Stage::reading(false);
                        self.read_object(out);
                    }
                    BucketError::Refused(why) => {
                        window.upload.ledger.abandon_pending(window_start, &why, out);
                        self.refuse(BucketError::Refused(why).to_string());
                    }
                }
            }
        }
    }

    pub(super) fn object_read(
        &mut self,
        now: Now,
        window_start: u64,
        result: Result<Option<(String, Etag)>, BucketError>,
        out: &mut Actions,
    ) {
        let Some(window) = self.window.as_mut().filter(|window| window.start == window_start) else {
            return self.late_object_read(window_start, result, out);
        };
        let Some(job) = window.upload.job.as_mut() else { return };
        let Stage::Reading { written, missing, strange } = job.stage.clone() else {
            return;
        };
        match result {
            Ok(Some((digest, etag))) if digest == job.digest => {
                window.upload.etag = Some(etag);
                self.confirm(now, out);
            }
            Ok(Some((digest, etag))) if window.upload.ledger.knows(&digest) => {
                window.upload.etag = Some(etag);
                if written {
                    // The write was acknowledged and is not visible yet.
                    self.marks.sometimes("acknowledged-write-is-not-visible");
                    self.pause_upload(now, Stage::Reading { written, missing, strange: None }, out);
                } else {
                    self.marks.sometimes("known-file-shows-after-an-unknown-outcome");
                    let groups = job.choice.groups;
                    let found = window.confirm_older(self.config.policy, &digest, out);
                    if found == Some(groups) && self.config.behaviours.contains(&Behaviour::HiddenWriteIsAwaited) {
                        window.upload.job = None;
                    } else {
                        self.pause_upload(now, Stage::Confirming, out);
                    }
                }
            }
            Ok(Some((digest, _))) if strange.as_ref() != Some(&digest) && !planted(Mutant::CorruptReadIsFinal) => {
                // Bytes may be altered on their way; what another writer wrote is the same when it is read again.
                self.marks.sometimes("object-is-not-what-was-written");
                self.pause_upload(now, Stage::Reading { written, missing, strange: Some(digest) }, out);
            }
            Ok(Some(_)) => {
                self.marks.sometimes("another-writer-is-in-the-bucket");
                let error = BucketError::ConditionFailed.to_string();
                window.upload.attempts.bucket_failed(&BucketError::ConditionFailed);
                window.upload.ledger.abandon_pending(window_start, &error, out);
                self.refuse(error);
            }
            Ok(None) if written && missing < MISSING_READS_MAX => {
                self.marks.sometimes("acknowledged-write-is-not-visible");
                self.pause_upload(now, Stage::Reading { written, missing: missing + 1, strange }, out);
            }
            Ok(None) => {
                if written {
                    self.marks.sometimes("acknowledged-write-is-never-found");
                    window.upload.attempts.bucket_is_wrong(NOT_WHERE_VALIDATORS_READ);
                    if self.config.behaviours.contains(&Behaviour::OutcomeFollowsFromAttempts) {
                        out.push(trouble(Area::Bucket, NOT_WHERE_VALIDATORS_READ));
                    }
                }
                let why = window.upload.reason(&self.config.behaviours, ledger::NOT_THERE);
                window.upload.etag = None;
                window.upload.ledger.abandon_pending(window_start, &why, out);
                self.pause_upload(now, Stage::Confirming, out);
            }
            Err(error @ BucketError::Refused(_)) => {
                out.push(trouble(Area::Bucket, &error));
                window.upload.attempts.bucket_failed(&error);
                self.refuse(error.to_string());
            }
            Err(error) => {
                out.push(trouble(Area::Bucket, &error));
                window.upload.last_trouble = Some(error.to_string());
                window.upload.attempts.bucket_failed(&error);
                self.pause_upload(now, Stage::Reading { written, missing, strange }, out);
            }
        }
    }

    pub(super) fn object_deleted(
        &mut self,
        now: Now,
        window_start: u64,
        result: Result<(), BucketError>,
        out: &mut Actions,
    ) {
        let Some(window) = self.window.as_mut().filter(|window| window.start == window_start) else {
            return;
        };
        let Some(Stage::Deleting) = window.upload.job.as_ref().map(|job| &job.stage) else {
            return;
        };
        match result {
            Ok(()) => {
                window.upload.job = None;
                window.upload.must_delete = false;
                window.upload.etag = None;
                window.upload.ledger.removed(window_start, "the window's first block was replaced", out);
            }
            Err(error) => {
                out.push(trouble(Area::Bucket, &error));
                window.upload.attempts.bucket_failed(&error);
                self.pause_upload(now, Stage::Deleting, out);
            }
        }
    }

    /// The retry timer fired: go on with the stage that waits.
    pub(super) fn resume_upload(&mut self, out: &mut Actions) {
        let Some(window) = self.window.as_mut() else { return };
        let Some(job) = window.upload.job.as_mut() else { return };
        let Stage::Pausing(next) = &job.stage else { return };
        job.stage = (**next).clone();
        let (window_start, key) = (window.start, object_key(&self.config.hotkey.to_ss58(), window.start));
        match job.stage {
            Stage::Confirming => self.read_hash(out),
            Stage::Reading { .. } => out.push(Action::ReadObject { window_start, key }),
            Stage::Deleting => out.push(Action::DeleteObject { window_start, key }),
            Stage::Journalling { .. } | Stage::Putting | Stage::Pausing(_) => {}
        }
    }

    fn read_object(&mut self, out: &mut Actions) {
        if let Some(window) = &self.window {
            let key = object_key(&self.config.hotkey.to_ss58(), window.start);
            out.push(Action::ReadObject { window_start: window.start, key });
        }
    }

    /// The read key fetched exactly what was written.
    fn confirm(&mut self, now: Now, out: &mut Actions) {
        let Some(window) = self.window.as_mut() else { return };
        let Some(job) = window.upload.job.take() else { return };
        let now_ms = now.monotonic_ms;
        self.marks.sometimes("upload-is-confirmed");
        self.timing.upload.observe(now_ms - job.began_ms, now_ms);
        let slack_ms = self.timing.end_ms(window.start, now_ms).saturating_sub(now_ms);
        if let Some(entry) = window.upload.ledger.done(window.start, &job.digest, out) {
            window.confirmed(self.config.policy, &entry, Some(slack_ms));
        }
        window.upload.last_trouble = None;
        window.upload.attempts = Attempts::default();
    }

    fn refuse(&mut self, why: String) {
        self.marks.sometimes("upload-is-refused");
        if let Some(window) = self.window.as_mut() {
            window.upload.job = None;
            window.upload.refused = Some(why);
        }
    }

    /// Wait a little and go on with `next`, unless the window ends before.
    fn pause_upload(&mut self, now: Now, next: Stage, out: &mut Actions) {
        let now_ms = now.monotonic_ms;
        let Some(window) = self.window.as_mut() else { return };
        let Some(job) = window.upload.job.as_mut() else { return };
        let pause_ms = jittered((self.config.block_ms / 24) << job.attempts.min(4), &self.config.hotkey, job);
        job.attempts += 1;
        let at_ms = now_ms + pause_ms;
        // Worthless work is removed even late; anything else that validators would not read in time is not sent.
        job.given_up = at_ms >= self.timing.end_ms(window.start, now_ms) && next != Stage::Deleting;
        job.stage = Stage::Pausing(Box::new(next));
        if job.given_up {
            self.marks.sometimes("upload-has-no-time-left");
        } else {
            out.push(Action::SetTimer { timer: Timer::Retry, at_ms });
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
