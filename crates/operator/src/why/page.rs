//! The findings as text.

use std::fmt::Display;

use super::{Finding, Why};
use grail_terminal::{counted, printable};

/// Returns one line per finding, and the conclusion at the end.
pub fn page(why: &Why) -> String {
    let object = |object: &super::ObjectFacts| {
        let as_receipt = match object.as_receipt {
            Some(true) => ", as the receipt says",
            Some(false) => ", NOT what the receipt says",
            None => "",
        };
        match &object.sha256 {
            Some(sha256) => format!("{} bytes, sha256 {sha256}{as_receipt}", object.bytes),
            None => format!("there is no object {}{as_receipt}", object.key),
        }
    };
    let receipt = |receipt: &super::Receipt| {
        let why = receipt.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let (clean, uploaded) = (receipt.groups_clean, receipt.groups_uploaded);
        let address =
            receipt.address.as_ref().map_or_else(String::new, |address| format!(", read back from {address}"));
        format!("{}{why}; {clean} groups clean, {uploaded} uploaded{address}", receipt.outcome)
    };
    let journal = |journal: &super::JournalFacts| {
        let (started, done, abandoned) = (journal.started.len(), journal.done.len(), journal.abandoned.len());
        let groups = journal.groups;
        let reasons = match journal.reasons().as_slice() {
            [] => String::new(),
            reasons => format!(": {}", reasons.join("; ")),
        };
        let (groups, started) = (counted(groups, "group"), counted(started, "upload"));
        format!("{groups}; {started} started, {done} read back, {abandoned} given up{reasons}")
    };
    let verdict = |verdict: &super::VerdictFacts| {
        let failure = verdict.failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
        format!("{}{failure}; {} rollouts checked", verdict.outcome, verdict.rollouts)
    };
    let weight = |weight: &super::WeightFacts| {
        let shares: Vec<String> =
            weight.validators.iter().map(|(uid, share)| format!("{:.3} % by uid {uid}", share * 100.0)).collect();
        let shares = if shares.is_empty() { "no validator has set weights".to_owned() } else { shares.join(", ") };
        format!("now, for uid {}: {shares}", weight.uid)
    };
    let exclusion = |exclusion: &super::Exclusion| match (exclusion.excludes, exclusion.windows_left) {
        (false, _) => "none by this window".to_owned(),
        (true, 0) => "over".to_owned(),
        (true, left) => format!("{left} more windows, until block {}", exclusion.until_block),
    };
    let lines = [
        line("hotkey", &why.hotkey, Clone::clone),
        line("receipt", &why.receipt, receipt),
        line("journal", &why.journal, journal),
        line("bucket", &why.object, object),
        line("verifier", &why.verdict, verdict),
        line("weight", &why.weight, weight),
        line("exclusion", &why.exclusion, exclusion),
        line("cost", &why.cost, super::Cost::text),
        line("income", &why.income, super::Income::text),
        story(&why.causes),
    ];
    let conclusion = &why.conclusion;
    format!(
        "window {}\n{}\n=> {}\n-> {}",
        why.window,
        lines.join("\n"),
        printable(&conclusion.text),
        printable(&conclusion.remedy)
    )
}

/// Returns the history, with minutes and seconds since the window started.
fn story(causes: &Finding<Vec<super::Cause>>) -> String {
    let Some(causes) = causes.value() else { return line("story", causes, |_| String::new()) };
    let lines = causes.iter().map(|cause| format!("\n  {}", printable(&cause.line())));
    lines.fold("story     minutes and seconds since the window started".to_owned(), |story, line| story + &line)
}

fn line<T, S: Display>(name: &str, finding: &Finding<T>, show: impl Fn(&T) -> S) -> String {
    let text = match finding {
        Finding::Known { value } => show(value).to_string(),
        Finding::Unknown { why } => format!("unknown: {why}"),
    };
    format!("{name:<10}{}", printable(&text))
}
