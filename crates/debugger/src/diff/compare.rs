//! Two replays of one tape: where the builds decide differently.

use std::collections::BTreeMap;

use serde_json::Value;

/// A step at which two builds decide differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Path of the tape.
    pub tape: String,
    /// Number of the step.
    pub step: u64,
    /// The event that both met.
    pub event: String,
    /// Actions that the old build asks for and the new one does not.
    pub old: Vec<String>,
    /// Actions that the new build asks for and the old one does not.
    pub new: Vec<String>,
    /// Key under which it is remembered: the step and both sides.
    pub key: String,
}

/// Differences in which the same kinds of actions differ.
#[derive(Debug)]
pub struct Kind<'a> {
    /// Names of the actions on both sides.
    pub name: String,
    /// All of them, in order.
    pub differences: Vec<&'a Difference>,
}

impl Difference {
    /// Both sides, as a patch shows them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let old = self.old.iter().map(|action| format!("- {action}"));
        old.chain(self.new.iter().map(|action| format!("+ {action}")))
    }

    /// Returns the first words of both sides, which name actions.
    fn kind(&self) -> String {
        let words = |actions: &[String]| {
            let mut words: Vec<&str> =
                actions.iter().map(|action| action.split([' ', '=']).next().unwrap_or_default()).collect();
            words.dedup();
            if words.is_empty() { "nothing".to_owned() } else { words.join("+") }
        };
        format!("{} becomes {}", words(&self.old), words(&self.new))
    }
}

/// Returns the differences between two replays. Each replay says how its build differs from the tape, so the tape
/// itself cancels out.
pub fn differences(tape: &str, old: &Value, new: &Value) -> Vec<Difference> {
    let [old, new] = [old, new].map(by_step);
    let steps: std::collections::BTreeSet<u64> = old.keys().chain(new.keys()).copied().collect();
    let difference = |step: u64| {
        let [before, after] = [old.get(&step), new.get(&step)];
        if before.map(|side| &side.decided) == after.map(|side| &side.decided) {
            return None;
        }
        // A build that does not differ from the tape asks for the recorded actions.
        let recorded = before.or(after).map(|side| side.recorded.clone()).unwrap_or_default();
        let decided = |side: Option<&Step>| side.map_or_else(|| recorded.clone(), |side| side.decided.clone());
        let (before_all, after_all) = (decided(before), decided(after));
        let only = |these: &[String], others: &[String]| {
            these.iter().filter(|action| !others.contains(action)).cloned().collect::<Vec<_>>()
        };
        let (old, new) = (only(&before_all, &after_all), only(&after_all, &before_all));
        let event = before.or(after).map(|side| side.event.clone()).unwrap_or_default();
        let key = format!("{tape} {step} {} -> {}", old.join("; "), new.join("; "));
        Some(Difference { tape: tape.to_owned(), step, event, old, new, key })
    };
    steps.into_iter().filter_map(difference).collect()
}

/// Decision of a build at a step that differs from the tape.
struct Step {
    event: String,
    recorded: Vec<String>,
    decided: Vec<String>,
}

fn by_step(replay: &Value) -> BTreeMap<u64, Step> {
    let divergences = replay["divergences"].as_array().into_iter().flatten();
    let step = |divergence: &Value| {
        let lines: Vec<(&str, &str)> = divergence["lines"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|line| Some((line["in"].as_str()?, line["action"].as_str()?)))
            .collect();
        let on = |side: &str| {
            let is_there = |(place, _): &&(&str, &str)| *place == "both" || *place == side;
            lines.iter().filter(is_there).map(|(_, action)| (*action).to_owned()).collect()
        };
        let event = divergence["event"].as_str().unwrap_or_default().to_owned();
        Some((divergence["step"].as_u64()?, Step { event, recorded: on("recorded"), decided: on("replayed") }))
    };
    divergences.filter_map(step).collect()
}

/// Differences by kind, the most frequent first.
pub fn kinds(found: &[Difference]) -> Vec<Kind<'_>> {
    let mut by_name: BTreeMap<String, Vec<&Difference>> = BTreeMap::new();
    for difference in found {
        by_name.entry(difference.kind()).or_default().push(difference);
    }
    let mut kinds: Vec<Kind<'_>> = by_name.into_iter().map(|(name, differences)| Kind { name, differences }).collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.differences.len()));
    kinds
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replay(steps: &[(u64, &[(&str, &str)])]) -> Value {
        let divergence = |(step, lines): &(u64, &[(&str, &str)])| {
            let lines: Vec<Value> =
                lines.iter().map(|(place, action)| json!({ "in": place, "action": action })).collect();
            json!({ "step": step, "event": "head_moved", "lines": lines })
        };
        json!({ "divergences": steps.iter().map(divergence).collect::<Vec<_>>() })
    }

    #[test]
    fn equal_changes_of_both_builds_are_no_difference() {
        let upload: &[(&str, &str)] = &[("both", "set_timer 1"), ("recorded", "upload 5"), ("replayed", "upload 7")];
        let one = replay(&[(4, upload)]);
        assert_eq!(differences("t", &one, &one), []);
        let found = differences("t", &replay(&[]), &one);
        assert_eq!(
            (found[0].old.as_slice(), found[0].new.as_slice()),
            (&["upload 5".to_owned()][..], &["upload 7".to_owned()][..])
        );
        let back = differences("t", &one, &replay(&[]));
        assert_eq!(
            (back[0].old.as_slice(), back[0].new.as_slice()),
            (&["upload 7".to_owned()][..], &["upload 5".to_owned()][..])
        );
        let dropped: &[(&str, &str)] = &[("recorded", "cancel_group 1")];
        let both = differences("t", &replay(&[]), &replay(&[(4, upload), (5, upload), (9, dropped)]));
        let names: Vec<(String, usize)> =
            kinds(&both).into_iter().map(|kind| (kind.name, kind.differences.len())).collect();
        assert_eq!(names, [("upload becomes upload".to_owned(), 2), ("cancel_group becomes nothing".to_owned(), 1)]);
    }
}
