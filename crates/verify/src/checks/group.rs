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

/// Check the members that joined a group: each one's commit, and the seed that the validator wrote into it.
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
        .map(|(_, seed)| seed.ok_or(gave_up("AttributeError", "a commit's sat_problem is no object")))
        .collect::<Result<_, _>>()?;
    if seeds.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(GroupStop::Failed(Reason::GroupProblemMismatch));
    }
    Ok(())
}

/// `commit.get("rollout", {}).get("advantage", 0.0)` as a number.
fn advantage(commit: &Value) -> Result<f64, GroupStop> {
    let Value::Object(fields) = commit else {
        return Err(gave_up("AttributeError", "a commit is no object"));
    };
    let Some(claims) = fields.get("rollout") else {
        return Ok(0.0);
    };
    let Value::Object(claims) = claims else {
        return Err(gave_up("AttributeError", "the rollout's claims are no object"));
    };
    match claims.get("advantage") {
        None => Ok(0.0),
        Some(Value::BigInt(_)) => Err(gave_up("OverflowError", "an advantage is too large for a float")),
        Some(value) => value.as_number().ok_or(gave_up("TypeError", "an advantage is no number")),
    }
}

const fn gave_up(exception: &'static str, why: &'static str) -> GroupStop {
    GroupStop::GaveUp(GiveUp { exception, why })
}
