//! Events and actions as the lines of traces and tapes: a name, then the fields as JSON.

use serde::Serialize;
use serde_json::Value;

/// Returns a line of a name and fields.
pub(super) fn line(name: &str, fields: &Value) -> String {
    format!("{name} {fields}")
}

/// Returns the line of an enum's variant: its name, and its fields where it has some, in their order.
pub(super) fn variant_line(variant: &impl Serialize) -> String {
    // `"Name"`, or `{"Name":fields}`.
    let json = serde_json::to_string(variant).expect("events and actions have string keys and no foreign numbers");
    let tagged =
        json.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}')).and_then(|rest| rest.split_once("\":"));
    tagged.map_or_else(|| json.trim_matches('"').to_owned(), |(name, fields)| format!("{name} {fields}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Event, Timer};
    use crate::answers::Head;

    #[test]
    fn a_line_is_the_variant_s_name_and_its_fields() {
        assert_eq!(Event::HeadMoved(Head { number: 7 }).summary(), r#"HeadMoved {"number":7}"#);
        assert_eq!(Event::TimerFired(Timer::Head).summary(), r#"TimerFired "Head""#);
        assert_eq!(Event::Shutdown.summary(), "Shutdown");
        assert_eq!(Event::RegistrationRead(Ok(None)).summary(), r#"RegistrationRead {"Ok":null}"#);
        assert_eq!(Action::ReadBlockHash(30).summary(), "ReadBlockHash 30");
        let timer = Action::SetTimer { timer: Timer::Groups, at_ms: 5 };
        assert_eq!(timer.summary(), r#"SetTimer {"timer":"Groups","at_ms":5}"#);
        let commit = Action::Commit(vec![1; 128]).summary();
        assert!(commit.starts_with(r#"Commit {"sha256":""#) && !commit.contains("[1,1"), "{commit}");
    }
}
