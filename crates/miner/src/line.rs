//! Events and actions as the lines of traces and tapes: a name, then the fields as JSON.

use serde::Serialize;
use serde_json::Value;

/// Returns a line of a name and fields.
pub fn line(name: &str, fields: &Value) -> String {
    format!("{name} {fields}")
}

/// Returns the line of an enum's variant: its name, and its fields if it has some, in their order.
///
/// # Panics
/// If a map in it has keys that are no text.
pub fn variant_line(variant: &impl Serialize) -> String {
    // `"Name"`, or `{"Name":fields}`.
    let json = serde_json::to_string(variant).expect("events and actions have string keys and no foreign numbers");
    let tagged =
        json.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}')).and_then(|rest| rest.split_once("\":"));
    tagged.map_or_else(|| json.trim_matches('"').to_owned(), |(name, fields)| format!("{name} {fields}"))
}

#[cfg(test)]
mod tests {
    use crate::answers::{Head, JournalRecord};
    use crate::machine::bench::signed_group;
    use crate::machine::{Action, Event, GroupId, JournalEntry, Timer};
    use crate::seal::SealedGroup;

    #[test]
    fn a_line_is_the_variant_s_name_and_its_fields() {
        assert_eq!(Event::HeadMoved(Head { number: 7 }).summary(), r#"HeadMoved {"number":7}"#);
        assert_eq!(Event::TimerFired(Timer::Head).summary(), r#"TimerFired "Head""#);
        assert_eq!(Event::Shutdown.summary(), "Shutdown");
        assert_eq!(Event::RegistrationRead(Ok(None)).summary(), r#"RegistrationRead {"Ok":null}"#);
        assert_eq!(Action::ReadBlockHash(30).summary(), "ReadBlockHash 30");
        let timer = Action::SetTimer { timer: Timer::Groups, at_ms: 5 };
        assert_eq!(timer.summary(), r#"SetTimer {"timer":"Groups","at_ms":5}"#);
        let record = JournalRecord::UploadDone { window_start: 30, digest: "aa".to_owned() };
        let append = Action::AppendJournal { entry: JournalEntry::UploadDone(30), record };
        assert_eq!(append.summary(), r#"AppendJournal {"digest":"aa","entry":{"UploadDone":30}}"#);
        let closed = JournalRecord::WindowClosed { window_start: 30 };
        let append = Action::AppendJournal { entry: JournalEntry::WindowClosed(30), record: closed };
        assert_eq!(append.summary(), r#"AppendJournal {"digest":null,"entry":{"WindowClosed":30}}"#);
        let commit = Action::Commit(vec![1; 128]).summary();
        assert!(commit.starts_with(r#"Commit {"sha256":""#) && !commit.contains("[1,1"), "{commit}");
    }

    #[test]
    fn a_group_s_line_tells_its_signatures_and_findings_from_others() {
        let line = |signature: &str, is_rejected: bool| {
            let mut rollouts = signed_group(0).to_vec();
            rollouts[0].signature = signature.to_owned();
            let reason = grail_verify::Reason::GroupSize;
            let finding = grail_verify::OwnFinding { rollout: Some(2), check: grail_verify::Check::Group, reason };
            let findings = is_rejected.then_some(finding).into_iter().collect();
            let sealed = SealedGroup { rollouts: rollouts.into(), generated: Vec::new().into(), findings };
            let group = GroupId { window_start: 30, generation: 0, index: 1, attempt: 0 };
            Event::GroupReady { group, sealed: Box::new(sealed) }.summary()
        };
        assert_eq!(line("00", false), line("00", false));
        assert_ne!(line("00", false), line("01", false));
        assert!(line("00", true).contains(r#""findings":[[2,"#), "{}", line("00", true));
        // The digest is eight bytes in hex.
        let digest = line("00", false).split('"').nth(3).map(str::len);
        assert_eq!(digest, Some(16), "{}", line("00", false));
        assert_eq!(Event::Started(Vec::new()).summary(), r#"Started {"records":0}"#);
        let found = Event::CommitmentRead(Ok(Some(vec![1; 128]))).summary();
        assert!(found.starts_with(r#"CommitmentRead {"sha256":""#), "{found}");
        assert_eq!(Event::CommitmentRead(Ok(None)).summary(), r#"CommitmentRead {"Ok":null}"#);
    }
}
