//! Check `group`: four rollouts, advantages that add up to zero, one problem.

use grail_protocol::PROTOCOL;
use grail_protocol::python_json::Value;

use crate::verdict::{GiveUp, Reason};

const ADVANTAGE_SUM_MAX: f64 = 0.01;

/// Why a group fails, or why the validator gives up on the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GroupStop {
    /// A hard failure.
    Failed(Reason),
    /// The reference throws outside every handler.
    GaveUp(GiveUp),
}

/// Checks the members that joined a group: each one's commit, and the seed that the validator wrote into it.
pub(crate) fn check(members: &[(&Value, Option<&str>)]) -> Result<(), GroupStop> {
    if members.len() != PROTOCOL.rollouts_per_group {
        return Err(GroupStop::Failed(Reason::GroupSize));
    }
    let mut sum = 0.0;
    for (commit, _) in members {
        sum += advantage(commit)?;
    }
    if sum.abs() > ADVANTAGE_SUM_MAX {
        return Err(GroupStop::Failed(Reason::AdvantageSum));
    }
    let seeds: Vec<&str> = members
        .iter()
        .map(|(_, seed)| seed.ok_or(gave_up("AttributeError", "a commit's sat_problem is not an object")))
        .collect::<Result<_, _>>()?;
    if seeds.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(GroupStop::Failed(Reason::GroupProblemMismatch));
    }
    Ok(())
}

/// `commit.get("rollout", {}).get("advantage", 0.0)` as a number.
fn advantage(commit: &Value) -> Result<f64, GroupStop> {
    let Value::Object(fields) = commit else {
        return Err(gave_up("AttributeError", "a commit is not an object"));
    };
    let Some(claims) = fields.get("rollout") else { return Ok(0.0) };
    let Value::Object(claims) = claims else {
        return Err(gave_up("AttributeError", "the rollout's claims are no object"));
    };
    match claims.get("advantage") {
        None => Ok(0.0),
        Some(Value::BigInt(_)) => Err(gave_up("OverflowError", "an advantage is too large for a float")),
        Some(value) => value.as_number().ok_or(gave_up("TypeError", "an advantage is not a number")),
    }
}

const fn gave_up(exception: &'static str, why: &'static str) -> GroupStop {
    GroupStop::GaveUp(GiveUp::new(exception, why))
}

#[cfg(test)]
mod tests {
    use grail_protocol::python_json::parse;

    use super::*;

    /// A group whose commits claim these advantages, as JSON text; all work the same problem.
    fn group_of(advantages: [&str; 4]) -> Result<(), GroupStop> {
        let claims = advantages.map(|advantage| format!(r#"{{"rollout": {{"advantage": {advantage}}}}}"#));
        commits(claims.each_ref().map(String::as_str))
    }

    fn commits(texts: [&str; 4]) -> Result<(), GroupStop> {
        let commits = texts.map(|text| parse(text.as_bytes()).unwrap());
        check(&commits.each_ref().map(|commit| (commit, Some("seed"))))
    }

    fn exception(outcome: Result<(), GroupStop>) -> std::borrow::Cow<'static, str> {
        match outcome {
            Err(GroupStop::GaveUp(gave_up)) => gave_up.exception,
            other => panic!("{other:?}"),
        }
    }

    const UNBALANCED: Result<(), GroupStop> = Err(GroupStop::Failed(Reason::AdvantageSum));

    #[test]
    fn four_rollouts_make_a_group() {
        let commit = parse(b"{}").unwrap();
        for size in [0, 1, 3, 5] {
            let members = vec![(&commit, Some("seed")); size];
            assert_eq!(check(&members), Err(GroupStop::Failed(Reason::GroupSize)), "{size}");
        }
        assert_eq!(commits(["{}"; 4]), Ok(()));
    }

    #[test]
    fn advantages_add_up_to_a_hundredth_at_most() {
        assert_eq!(group_of(["1.5", "-0.5", "-0.5", "-0.5"]), Ok(()));
        assert_eq!(group_of(["0.01", "0", "0", "0"]), Ok(()));
        assert_eq!(group_of(["-0.01", "0", "0", "0"]), Ok(()));
        assert_eq!(group_of(["0.010001", "0", "0", "0"]), UNBALANCED);
        assert_eq!(group_of(["-0.02", "0", "0", "0"]), UNBALANCED);
    }

    #[test]
    fn odd_advantages_count_as_python_adds_them() {
        assert_eq!(group_of(["true", "-1", "false", "0.0"]), Ok(()));
        assert_eq!(group_of(["true", "0", "0", "0"]), UNBALANCED);
        assert_eq!(group_of(["Infinity", "0", "0", "0"]), UNBALANCED);
        // Not a number is not greater than anything.
        assert_eq!(group_of(["NaN", "5", "5", "5"]), Ok(()));
        assert_eq!(group_of(["Infinity", "-Infinity", "0", "0"]), Ok(()));
        assert_eq!(commits([r#"{"rollout": {}}"#, "{}", "{}", "{}"]), Ok(()), "a missing advantage counts nothing");
    }

    #[test]
    fn values_that_python_cannot_add_end_the_file() {
        for odd in ["null", r#""0""#, "[]", "{}"] {
            assert_eq!(exception(group_of(["0", odd, "0", "0"])), "TypeError", "{odd}");
        }
        assert_eq!(exception(group_of(["0", &"9".repeat(400), "0", "0"])), "OverflowError");
        for odd in ["[]", "3", r#""text""#, r#"{"rollout": null}"#, r#"{"rollout": [1]}"#] {
            assert_eq!(exception(commits(["{}", odd, "{}", "{}"])), "AttributeError", "{odd}");
        }
    }

    #[test]
    fn the_size_is_looked_at_before_the_advantages_and_these_before_the_problem() {
        let (good, odd) = (parse(b"{}").unwrap(), parse(b"3").unwrap());
        assert_eq!(check(&[(&odd, None); 3]), Err(GroupStop::Failed(Reason::GroupSize)));
        let seeds = [Some("a"), Some("a"), Some("b"), Some("a")];
        assert_eq!(check(&seeds.map(|seed| (&good, seed))), Err(GroupStop::Failed(Reason::GroupProblemMismatch)));
        let without = [Some("a"), None, Some("b"), Some("a")];
        assert_eq!(exception(check(&without.map(|seed| (&good, seed)))), "AttributeError");
    }
}
