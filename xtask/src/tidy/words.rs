//! Words that must not come back: old names and archaic turns, each with its replacement.

use super::Finding;
use super::tree::TreeFile;

/// Each word with its replacement. A word counts as a whole, with the case that is written here.
const BANNED: [(&str, &str); 62] = [
    ("TypedConfig", "write RawConfig"),
    ("GroupOrder", "write GroupRequest"),
    ("Urgency", "write Priority"),
    ("Roster", "write SlotTable"),
    ("Seating", "write SlotAllocation"),
    ("SpeedProfile", "write EngineSpeed"),
    ("TorchProfile", "write TorchNumerics"),
    ("CardMemory", "write GpuMemory"),
    ("Courier", "write SinkWorker"),
    ("Outbox", "write SinkSender"),
    ("Ailment", "write HealthIssue"),
    ("Vitals", "write HealthSnapshot"),
    ("Mortal", "write Killable"),
    ("Told", "write ExitError, or a verb"),
    ("told", "write given, shown or logged"),
    ("has_seen", "write the verb that is intended"),
    ("put_in", "write enqueue"),
    ("--profile", "write --numerics or --speed"),
    ("--devices", "write --device"),
    ("rehearsal", "write estimate or simulation"),
    ("Rehearsal", "write Estimate"),
    ("Card", "write Gpu"),
    ("CardError", "write GpuError"),
    ("StartCard", "write Banner"),
    ("journalled", "write journaled"),
    ("journalling", "write journaling"),
    ("judgement", "write judgment"),
    ("Judgement", "write Judgment"),
    ("towards", "write toward"),
    ("looked at", "write checked or read"),
    ("well again", "write works again"),
    ("for want of", "write without, or for lack of"),
    ("NVIDIA card", "write NVIDIA GPU"),
    ("behaviour", "write behavior"),
    ("colour", "write color"),
    ("neighbour", "write neighbor"),
    ("cancelled", "write canceled"),
    ("labelled", "write labeled"),
    ("recognised", "write recognized"),
    ("penalise", "write penalize"),
    ("normalise", "write normalize"),
    ("initialise", "write initialize"),
    ("artefact", "write artifact"),
    ("anew", "write again"),
    ("whoever", "write anyone who"),
    ("Whoever", "write Anyone who"),
    ("seldom", "write rarely"),
    ("for ever", "write forever"),
    ("for good", "write permanently"),
    ("mend", "write fix"),
    ("mends", "write fixes"),
    ("mended", "write fixed"),
    ("suffices", "write is enough"),
    ("learnt", "write learned"),
    ("amounts to", "write is"),
    ("nobody's", "write that it belongs to nobody"),
    ("of one's own", "write custom"),
    ("beside", "write next to"),
    ("heals", "write is temporary"),
    ("stands in", "write is in"),
    ("lies beside", "write is next to"),
    ("goes on", "write continues"),
];

/// Files that hold a banned word on purpose: this list, and names and texts of the core that recorded tapes contain.
const ALLOWED: [(&str, &str); 5] = [
    ("xtask/src/tidy/words.rs", ""),
    ("crates/miner/src/answers.rs", "goes on"),
    ("crates/miner/src/machine/window.rs", "anew"),
    ("crates/miner/src/machine/groups.rs", "journalling"),
    ("crates/debugger/src/travel/view.rs", "journalling"),
];

pub(super) fn findings(file: &TreeFile) -> Vec<Finding> {
    if !is_prose(&file.path) {
        return Vec::new();
    }
    let is_allowed = |word: &str| ALLOWED.iter().any(|(path, allowed)| *path == file.path && word.contains(allowed));
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(file.text.as_deref().unwrap_or_default().lines()) {
        for (word, remedy) in BANNED.iter().filter(|(word, _)| holds(text, word) && !is_allowed(word)) {
            findings.push(Finding::new(&file.path, line, format!("{word:?} is a banned word"), remedy));
        }
    }
    findings
}

/// Returns whether people read a file: sources and documents, without recorded data.
fn is_prose(path: &str) -> bool {
    let ends = [".rs", ".md", ".toml", ".html", ".js", ".cu", ".example"];
    ends.iter().any(|end| path.ends_with(end)) && !path.starts_with("fixtures/")
}

/// Returns whether `text` holds `word` as a whole, not as a part of a longer one.
fn holds(text: &str, word: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(continues) && !text[at + word.len()..].starts_with(continues))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = TreeFile { path: path.to_owned(), text: Some(text.to_owned()) };
        findings(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_banned_word_is_found_with_its_line_and_its_replacement() {
        let found = found("docs/a.md", "fine\nit begins anew, --devices 0");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("docs/a.md:2: ") && found.iter().any(|line| line.contains("write again")));
    }

    #[test]
    fn parts_of_words_and_recorded_data_are_not_looked_at() {
        assert_eq!(found("src/a.rs", "fn amendment() {} // a toldable renewal").len(), 0);
        assert_eq!(found("fixtures/a.md", "anew").len(), 0);
        assert_eq!(found("crates/miner/src/answers.rs", "mining goes on anew").len(), 1);
    }
}
