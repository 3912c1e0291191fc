//! An oracle over receipts: the reason for a window without an upload must follow from its failures, as seen from
//! outside the machine.

use std::collections::BTreeMap;

use grail_miner::machine::{Action, Event, WindowOutcome, WindowReceipt};
use grail_miner::ports::BucketError;

/// How the bucket failed in the windows that have no receipt yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reasons {
    windows: BTreeMap<u64, Window>,
    /// Hashes of blocks as they were read last.
    hashes: BTreeMap<u64, String>,
}

#[derive(Debug, Clone, Default)]
struct Window {
    /// Questions to the bucket that are open.
    open: usize,
    /// How many of them were asked under a first block that was replaced since: their answers say nothing of the present
    /// work.
    outdated: usize,
    /// Failures of the bucket, in order.
    failures: Vec<String>,
}

impl Reasons {
    /// Takes note of a question.
    pub(crate) fn action(&mut self, action: &Action) {
        if let Action::Upload { window_start, .. }
        | Action::ReadObject { window_start, .. }
        | Action::DeleteObject { window_start, .. } = action
        {
            self.windows.entry(*window_start).or_default().open += 1;
        }
    }

    /// Takes note of an answer.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Started(_) => *self = Self::default(),
            Event::BlockHashRead { block, result: Ok(Some(hash)) } => {
                let before = self.hashes.insert(*block, hash.clone());
                if before.is_some_and(|before| before != *hash) {
                    let window = self.windows.entry(*block).or_default();
                    window.failures.clear();
                    window.outdated = window.open;
                }
            }
            Event::UploadAnswered { window_start, result } => self.answered(*window_start, result.as_ref().err()),
            Event::ObjectRead { window_start, result } => self.answered(*window_start, result.as_ref().err()),
            Event::ObjectDeleted { window_start, result } => self.answered(*window_start, result.as_ref().err()),
            _ => {}
        }
    }

    /// Returns whether a question about this window's object is not answered yet.
    pub(crate) fn is_open(&self, window_start: u64) -> bool {
        self.windows.get(&window_start).is_some_and(|window| window.open > 0)
    }

    fn answered(&mut self, window_start: u64, error: Option<&BucketError>) {
        let window = self.windows.entry(window_start).or_default();
        window.open = window.open.saturating_sub(1);
        if window.outdated > 0 {
            window.outdated -= 1;
            return;
        }
        // A failed condition is an answer; the object is checked.
        if let Some(BucketError::Transient(why) | BucketError::Unknown(why) | BucketError::Refused(why)) = error {
            window.failures.push(why.clone());
        }
    }

    /// Returns the violation in a window's receipt, if any.
    pub(crate) fn settle(&mut self, receipt: &WindowReceipt) -> Option<String> {
        let start = receipt.window_start;
        let failures = self.windows.remove(&start).unwrap_or_default().failures;
        self.windows = self.windows.split_off(&start);
        self.hashes = self.hashes.split_off(&start);
        let last = failures.last()?;
        // A refusal that is the only failure in its window stands alone. The first and last failure may also be a failed
        // condition or a missing object, so the number says whether all of them count.
        let is_named = |why: &str| {
            let alone = why.split("the bucket failed ").next().unwrap_or_default();
            let refusals = usize::from(failures.iter().any(|failure| alone.contains(failure)));
            refusals + failures_named(why) >= failures.len()
        };
        match &receipt.outcome {
            WindowOutcome::KeptBack(why) => {
                Some(format!("{start} is kept back ({why}), and the bucket failed {} times: {last}", failures.len()))
            }
            WindowOutcome::Lost(why) if !is_named(why) => {
                Some(format!("{start} is lost ({why}), and the bucket failed {} times: {last}", failures.len()))
            }
            _ => None,
        }
    }
}

/// Returns how many failures of the bucket a reason names, within the window and after its end.
fn failures_named(why: &str) -> usize {
    let counts = why.split("the bucket failed ").skip(1).map(|rest| rest.split([' ', ':', ',']).next());
    counts.map(|count| count.and_then(|count| count.parse().ok()).unwrap_or(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: &str) -> Event {
        Event::UploadAnswered { window_start: 30, result: Err(BucketError::Transient(why.to_owned())) }
    }

    fn asked() -> Action {
        Action::ReadObject { window_start: 30, key: String::new() }
    }

    fn settled(reasons: &Reasons, outcome: WindowOutcome) -> Option<String> {
        reasons.clone().settle(&WindowReceipt::of(30, outcome))
    }

    #[test]
    fn a_receipt_must_name_how_the_bucket_failed() {
        let mut reasons = Reasons::default();
        let kept_back = || WindowOutcome::KeptBack("the block hash".to_owned());
        let lost = |why: &str| WindowOutcome::Lost(why.to_owned());
        assert_eq!(settled(&reasons, kept_back()), None, "nothing failed");
        for why in ["refused", "429"] {
            reasons.action(&asked());
            reasons.event(&failed(why));
        }
        assert!(settled(&reasons, kept_back()).is_some());
        assert!(settled(&reasons, lost("the upload was not confirmed")).is_some());
        assert!(settled(&reasons, lost("the bucket failed once: 429")).is_some(), "it failed twice");
        assert_eq!(settled(&reasons, lost("the bucket failed 2 times, first: refused; last: 429")), None);
        assert_eq!(settled(&reasons, lost("another writer; the bucket failed 3 times: it")), None);
        let later = "the bucket failed once: refused; after the window's end the bucket failed once: 429";
        assert_eq!(settled(&reasons, lost(later)), None);
        assert_eq!(settled(&reasons, WindowOutcome::Uploaded), None);
        let mut refused = Reasons::default();
        refused.event(&failed("the key is expired"));
        assert_eq!(settled(&refused, lost("renew it (the key is expired)")), None);
        assert!(settled(&refused, lost("the upload was not confirmed")).is_some());
        refused.event(&failed("429"));
        let later = "renew it (the key is expired); after the window's end the bucket failed once: 429";
        assert_eq!(settled(&refused, lost(later)), None);
        assert!(settled(&refused, lost("renew it (the key is expired)")).is_some());
    }

    #[test]
    fn failures_under_a_replaced_block_do_not_count() {
        let mut reasons = Reasons::default();
        let hash = |hash: &str| Event::BlockHashRead { block: 30, result: Ok(Some(hash.to_owned())) };
        reasons.event(&hash("a"));
        for _ in 0..2 {
            reasons.action(&asked());
        }
        reasons.event(&failed("before"));
        reasons.event(&hash("b"));
        reasons.event(&failed("asked before"));
        assert_eq!(settled(&reasons, WindowOutcome::KeptBack("the block hash".to_owned())), None);
        reasons.action(&asked());
        reasons.event(&failed("after"));
        assert!(settled(&reasons, WindowOutcome::KeptBack("the block hash".to_owned())).is_some());
    }
}
