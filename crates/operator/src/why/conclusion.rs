//! Conclusion from the findings, with its remedy.

use serde::Serialize;

use super::{Finding, JournalFacts, ObjectFacts, Receipt, VerdictFacts};
use grail_observe::INTERRUPTED;

/// Outcome of a window, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConclusionKind {
    /// Its file is in the bucket, unchanged, and our verifier accepts it.
    Well,
    /// There is no file of it.
    NotUploaded,
    /// Its file was uploaded and is no longer in the bucket.
    Missing,
    /// Another file is in its place.
    Replaced,
    /// Our verifier does not accept its file.
    Rejected,
    /// Too little is known.
    Unknown,
}

/// Outcome of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// In one word.
    pub kind: ConclusionKind,
    /// In a sentence.
    pub text: String,
    /// The remedy.
    pub remedy: String,
}

impl Conclusion {
    fn new(kind: ConclusionKind, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, text: text.into(), remedy: remedy.into() }
    }

    /// Returns the gravest thing that is known.
    pub(super) fn of(
        window: u64,
        receipt: &Finding<Receipt>,
        journal: &Finding<JournalFacts>,
        object: &Finding<ObjectFacts>,
        verdict: &Finding<VerdictFacts>,
    ) -> Self {
        let known = receipt.value();
        if let Some(verdict) = verdict.value().filter(|verdict| verdict.outcome != "accepted") {
            let failure = verdict.failure.as_deref().unwrap_or("no reason is known");
            let remedy = verdict.remedy.clone().unwrap_or_else(|| format!("send us `grail bundle {window}`"));
            return Self::new(
                ConclusionKind::Rejected,
                format!("the file in the bucket is {}: {failure}", verdict.outcome),
                remedy,
            );
        }
        if let Some(receipt) = known.filter(|receipt| receipt.outcome != "uploaded") {
            if verdict.value().is_some() {
                return Self::new(
                    ConclusionKind::Replaced,
                    format!("{}; a file that our verifier accepts is in its place", not_uploaded(receipt).text),
                    "see that one miner alone uses this hotkey and bucket; if this miner was started again in the window, \
                     the file may be its own and earns all the same",
                );
            }
            return not_uploaded(receipt);
        }
        let uploaded = known.is_some();
        match object.value() {
            Some(object) if uploaded && !object.exists => Self::new(
                ConclusionKind::Missing,
                "it was uploaded and read back, and is no longer in the bucket",
                "see whether a rule of the bucket removes objects, and whether somebody else has the write key",
            ),
            Some(object) if object.as_receipt == Some(false) => Self::new(
                ConclusionKind::Replaced,
                "the object in the bucket is not the one that was read back",
                "somebody else writes to the bucket: revoke the write key, and see that one miner alone uses it",
            ),
            Some(_) if uploaded && verdict.value().is_some() => Self::new(
                ConclusionKind::Well,
                "it was uploaded, is in the bucket unchanged, and our verifier accepts it",
                "nothing is to be done",
            ),
            _ if uploaded => Self::new(
                ConclusionKind::Unknown,
                "it was uploaded and read back; whether it would be accepted is not known",
                "see above what is unknown, and why",
            ),
            _ => unreceipted(journal),
        }
    }
}

fn not_uploaded(receipt: &Receipt) -> Conclusion {
    let why = receipt.why.as_deref().unwrap_or_default();
    let (text, remedy) = match receipt.outcome.as_str() {
        "kept_back" => (
            format!("{} clean groups were kept back: {why}", receipt.groups_clean),
            "nothing is to be done unless it happens again, then run `grail doctor`: a file under a wrong block hash would \
             have cost twelve windows",
        ),
        "nothing_ready" => (
            receipt.why.clone().unwrap_or_else(|| "no group was clean before the deadline".to_owned()),
            "nothing is to be done if the miner started late or was stopped; else see whether the engine failed or was \
             slow: `grail bench`, and the self-check's rejections above",
        ),
        "not_registered" => {
            ("the hotkey had no uid".to_owned(), "run `grail doctor`; it names the command that registers it")
        }
        "reorganised" => (
            "the window's first block was replaced, and no time was left".to_owned(),
            "nothing is to be done: the chain did it, and it is rare",
        ),
        INTERRUPTED => (
            format!(
                "a defect of grail ended the miner with {} groups clean, and no miner continued: {why}",
                receipt.groups_clean
            ),
            "report it with `grail bundle`; a supervisor that starts the miner again would have saved the window",
        ),
        _ => (
            format!("{} clean groups were lost: {why}", receipt.groups_clean),
            "run `grail doctor`; it examines bucket and keys",
        ),
    };
    Conclusion::new(ConclusionKind::NotUploaded, text, remedy)
}

/// Without a receipt the journal may show how far it came.
fn unreceipted(journal: &Finding<JournalFacts>) -> Conclusion {
    match journal.value() {
        Some(facts) if !facts.closed => Conclusion::new(
            ConclusionKind::Unknown,
            format!(
                "{} groups are in the journal, and there is no receipt yet: it continues, or the miner was killed",
                facts.groups
            ),
            "see `grail top`; started again, the miner settles it",
        ),
        _ => Conclusion::new(
            ConclusionKind::Unknown,
            "nothing here is about that window: no miner ran with this data folder then",
            "name the data folder with --data-dir, or a window that `grail report` shows",
        ),
    }
}
