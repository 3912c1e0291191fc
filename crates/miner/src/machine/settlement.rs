//! Receipts of windows that are over: given at once if everything is known, and otherwise after another read of the
//! bucket.

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::event::JournalEntry;
use super::ledger::{self, FileLedger};
use super::receipt::{Area, Report, WindowOutcome, WindowReceipt};
use super::upload::Attempts;
use crate::answers::{BucketError, Etag, JournalRecord};

/// Failed reads of the bucket after which the receipt is given with what is known.
const LOOKS_MAX: u32 = 5;

/// The window before the current one, while its last upload has no known outcome.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Settlement(Option<Unsettled>);

/// A window that is over and has a pending upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Unsettled {
    /// The receipt if the pending file is not in the bucket.
    receipt: WindowReceipt,
    ledger: FileLedger,
    looks: u32,
    /// A read, or the upload itself, is not answered yet.
    waiting: bool,
    /// The digest of something that is none of our files.
    strange: Option<String>,
    /// Failures after the window's end.
    late: Attempts,
}

impl Settlement {
    /// Returns whether a receipt is still owed.
    pub(super) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Returns a window's receipt, now or once its pending upload is known to be there or not. While the upload is in
    /// flight, nothing is read.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, receipt: WindowReceipt, ledger: FileLedger, in_flight: bool) {
        // There is place for one window. The one before gets its receipt with what is known.
        self.give(cx);
        if ledger.pending().is_none() {
            give(cx, receipt);
            return;
        }
        cx.sometimes("window-ends-with-a-pending-upload");
        self.0 =
            Some(Unsettled { receipt, ledger, looks: 0, waiting: in_flight, strange: None, late: Attempts::default() });
        self.look(cx);
    }

    /// The upload that was in flight when its window ended is over, however it went.
    pub(super) fn on_put_answered(
        &mut self,
        cx: &mut Context<'_>,
        window_start: u64,
        result: Result<Etag, BucketError>,
    ) {
        let Some(unsettled) = self.of(window_start) else { return };
        unsettled.waiting = false;
        if let Err(error) = result {
            unsettled.late.bucket_failed(&error);
        }
        self.look(cx);
    }

    /// Reads the bucket, one read at a time.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) {
        let Some(unsettled) = self.0.as_mut().filter(|unsettled| !unsettled.waiting) else { return };
        unsettled.waiting = true;
        let window_start = unsettled.receipt.window_start;
        cx.push(Action::ReadObject { window_start, key: cx.key(window_start) });
    }

    /// Takes the object that the read key found for a window that is over.
    pub(super) fn on_object_read(
        &mut self,
        cx: &mut Context<'_>,
        window_start: u64,
        result: Result<Option<(String, Etag)>, BucketError>,
    ) {
        let Some(unsettled) = self.of(window_start) else { return };
        match result {
            Ok(Some((digest, _)))
                if !unsettled.ledger.knows(&digest) && unsettled.strange.as_ref() != Some(&digest) =>
            {
                // Bytes may be altered on their way; what another writer wrote is the same when it is read again.
                unsettled.strange = Some(digest);
                self.look_again(cx);
            }
            // It may have been written and not be visible yet, or be on its way.
            Ok(found) if unsettled.looks + 1 < LOOKS_MAX && !unsettled.shows_pending(found.as_ref()) => {
                cx.sometimes("pending-file-does-not-show-at-once");
                self.look_again(cx);
            }
            Ok(found) => {
                // The file that was confirmed within the window is no news: the receipt has it, with the time that was
                // to spare.
                let done = found.and_then(|(digest, _)| unsettled.ledger.done(window_start, &digest, cx.out));
                unsettled.ledger.abandon_pending(window_start, ledger::NOT_THERE, cx.out);
                if let Some(entry) = done.filter(|entry| unsettled.receipt.digest.as_ref() != Some(&entry.digest)) {
                    let receipt = &mut unsettled.receipt;
                    receipt.outcome = WindowOutcome::Uploaded;
                    receipt.groups_uploaded = entry.groups;
                    receipt.rollouts_uploaded = entry.groups * PROTOCOL.rollouts_per_group;
                    receipt.read_back = true;
                    // Nobody saw when the file became visible.
                    receipt.slack_ms = None;
                    receipt.digest = Some(entry.digest);
                }
                self.give(cx);
            }
            Err(error) => {
                unsettled.late.bucket_failed(&error);
                cx.trouble(Area::Bucket, error);
                self.look_again(cx);
            }
        }
    }

    /// A read showed nothing: another one follows with the next head, up to a number of them.
    fn look_again(&mut self, cx: &mut Context<'_>) {
        let Some(unsettled) = self.0.as_mut() else { return };
        unsettled.waiting = false;
        unsettled.looks += 1;
        // Five looks: a file that a bucket showed late was once reported as missing (case
        // `a-write-that-does-not-show-at-once-is-awaited`). A process that must stop does not wait for the next block.
        if unsettled.looks >= LOOKS_MAX || cx.stopping {
            self.give(cx);
        }
    }

    fn give(&mut self, cx: &mut Context<'_>) {
        let Some(Unsettled { mut receipt, late, .. }) = self.0.take() else { return };
        if let (WindowOutcome::Lost(why), Some(failures)) = (&mut receipt.outcome, late.bucket()) {
            why.push_str("; after the window's end ");
            why.push_str(&failures);
        }
        give(cx, receipt);
    }

    /// Returns the unsettled window if it is this one.
    fn of(&mut self, window_start: u64) -> Option<&mut Unsettled> {
        self.0.as_mut().filter(|unsettled| unsettled.receipt.window_start == window_start)
    }
}

impl Unsettled {
    /// Returns whether this is the file whose outcome is unknown.
    fn shows_pending(&self, found: Option<&(String, Etag)>) -> bool {
        self.ledger.pending().is_some_and(|pending| found.is_some_and(|(digest, _)| *digest == pending.digest))
    }
}

fn give(cx: &mut Context<'_>, receipt: WindowReceipt) {
    let window_start = receipt.window_start;
    cx.push(Action::Report(Report::Receipt(receipt)));
    cx.push(Action::AppendJournal {
        entry: JournalEntry::WindowClosed(window_start),
        record: JournalRecord::WindowClosed { window_start },
    });
}

#[cfg(test)]
mod tests {
    use super::super::Actions;
    use super::super::bench::{Bench, kinds};
    use super::*;

    const WINDOW: u64 = 300;

    /// Returns a window that is over while the fate of its file `aa` is not known.
    fn unsettled(in_flight: bool) -> (Settlement, Bench, Vec<Action>) {
        let mut bench = Bench::at(WINDOW + 30);
        let (mut settlement, mut ledger) = (Settlement::default(), FileLedger::default());
        ledger.start(WINDOW, "aa", 3, &mut Actions::default());
        let receipt = WindowReceipt::of(WINDOW, WindowOutcome::Lost("no answer".to_owned()));
        let actions = bench.run(|cx| settlement.settle(cx, receipt, ledger, in_flight));
        (settlement, bench, actions)
    }

    fn found(settlement: &mut Settlement, bench: &mut Bench, digest: Option<&str>) -> Option<WindowReceipt> {
        let read = digest.map(|digest| (digest.to_owned(), Etag("1".to_owned())));
        let actions = bench.run(|cx| settlement.on_object_read(cx, WINDOW, Ok(read)));
        bench.run(|cx| settlement.look(cx));
        actions.into_iter().find_map(|action| match action {
            Action::Report(Report::Receipt(receipt)) => Some(receipt),
            _ => None,
        })
    }

    #[test]
    fn a_file_that_is_there_after_all_counts_as_uploaded() {
        let (mut settlement, mut bench, actions) = unsettled(false);
        assert!(matches!(actions[..], [Action::ReadObject { window_start: WINDOW, .. }]), "{actions:?}");
        let receipt = found(&mut settlement, &mut bench, Some("aa")).unwrap();
        assert_eq!((receipt.outcome, receipt.groups_uploaded, receipt.read_back), (WindowOutcome::Uploaded, 3, true));
        // With all its rollouts; nobody saw when it became visible.
        assert_eq!((receipt.rollouts_uploaded, receipt.slack_ms, receipt.digest.as_deref()), (12, None, Some("aa")));
        assert!(!settlement.is_open());
    }

    #[test]
    fn nobody_looks_while_the_upload_is_in_flight() {
        let (mut settlement, mut bench, actions) = unsettled(true);
        assert_eq!(actions, []);
        assert_eq!(bench.run(|cx| settlement.look(cx)), []);
        let late = BucketError::Transient("HTTP 503".to_owned());
        let actions = bench.run(|cx| settlement.on_put_answered(cx, WINDOW, Err(late)));
        assert!(matches!(actions[..], [Action::ReadObject { .. }]), "{actions:?}");
        // The receipt names failures after the window's end.
        let receipt = (0..LOOKS_MAX).find_map(|_| found(&mut settlement, &mut bench, None)).unwrap();
        assert!(matches!(&receipt.outcome, WindowOutcome::Lost(why) if why.contains("HTTP 503")), "{receipt:?}");
    }

    #[test]
    fn a_file_that_does_not_show_is_looked_for_five_times_and_is_then_lost() {
        let (mut settlement, mut bench, _) = unsettled(false);
        for look in 1..LOOKS_MAX {
            assert_eq!(found(&mut settlement, &mut bench, None), None, "look {look}");
        }
        let receipt = found(&mut settlement, &mut bench, None).unwrap();
        assert!(matches!(receipt.outcome, WindowOutcome::Lost(_)), "{receipt:?}");
    }

    #[test]
    fn strange_bytes_count_only_if_a_second_look_finds_the_same() {
        let (mut settlement, mut bench, _) = unsettled(false);
        assert_eq!(found(&mut settlement, &mut bench, Some("zz")), None);
        let receipt = found(&mut settlement, &mut bench, Some("aa")).unwrap();
        assert_eq!(receipt.outcome, WindowOutcome::Uploaded, "the bytes were altered on their way");
    }

    #[test]
    fn answers_about_other_windows_change_nothing() {
        let (mut settlement, mut bench, _) = unsettled(false);
        assert_eq!(bench.run(|cx| settlement.on_object_read(cx, WINDOW - 30, Ok(None))), []);
        assert!(settlement.is_open());
    }

    #[test]
    fn the_last_look_decides_what_the_journal_says() {
        let last = |before: Option<&str>, last: Option<&str>| {
            let (mut settlement, mut bench, _) = unsettled(false);
            (1..LOOKS_MAX).for_each(|_| assert_eq!(found(&mut settlement, &mut bench, before), None));
            let read = last.map(|digest| (digest.to_owned(), Etag("1".to_owned())));
            kinds(&bench.run(|cx| settlement.on_object_read(cx, WINDOW, Ok(read))))
        };
        assert_eq!(last(None, None), ["AppendJournal", "Report", "AppendJournal"], "abandoned, and closed");
        assert_eq!(last(Some("zz"), Some("zz")), ["AppendJournal", "Report", "AppendJournal"], "another writer's");
        assert_eq!(last(None, Some("zz")), ["Report", "AppendJournal"], "bytes seen once prove nothing");
    }

    #[test]
    fn a_file_that_the_receipt_names_already_changes_nothing_of_it() {
        let mut bench = Bench::at(WINDOW + 30);
        let (mut settlement, mut ledger) = (Settlement::default(), FileLedger::default());
        ledger.start(WINDOW, "aa", 3, &mut Actions::default());
        ledger.done(WINDOW, "aa", &mut Actions::default());
        ledger.start(WINDOW, "bb", 4, &mut Actions::default());
        let receipt = WindowReceipt {
            digest: Some("aa".to_owned()),
            slack_ms: Some(7),
            groups_uploaded: 3,
            ..WindowReceipt::of(WINDOW, WindowOutcome::Uploaded)
        };
        bench.run(|cx| settlement.settle(cx, receipt.clone(), ledger, false));
        let given = (0..LOOKS_MAX).find_map(|_| found(&mut settlement, &mut bench, Some("aa"))).unwrap();
        assert_eq!(given, receipt);
    }

    #[test]
    fn a_process_that_must_stop_does_not_look_twice() {
        let (mut settlement, mut bench, _) = unsettled(false);
        bench.stopping = true;
        assert!(found(&mut settlement, &mut bench, None).is_some());
    }

    #[test]
    fn a_read_that_fails_is_a_look_and_a_second_window_ends_the_first() {
        let (mut settlement, mut bench, _) = unsettled(false);
        let failed = BucketError::Transient("HTTP 503".to_owned());
        assert_eq!(kinds(&bench.run(|cx| settlement.on_object_read(cx, WINDOW, Err(failed)))), ["Report"]);
        assert_eq!(kinds(&bench.run(|cx| settlement.look(cx))), ["ReadObject"]);
        assert_eq!(bench.run(|cx| settlement.look(cx)), [], "one look at a time");
        let Settlement(Some(Unsettled { looks, waiting, ledger, .. })) = &settlement else { panic!("it is settled") };
        assert_eq!((*looks, *waiting, ledger.pending().map(|file| file.groups)), (1, true, Some(3)));
        let next = WindowReceipt::of(WINDOW + 30, WindowOutcome::NothingReady);
        let actions = bench.run(|cx| settlement.settle(cx, next, FileLedger::default(), false));
        assert_eq!(kinds(&actions), ["Report", "AppendJournal", "Report", "AppendJournal"]);
        assert!(!settlement.is_open());
    }
}
