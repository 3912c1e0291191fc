//! Check `solution_valid`: a claimed success is the tokens' own assignment, and it solves the problem.

use grail_protocol::answer::Answer;
use grail_protocol::generation::Tokenizer;
use grail_protocol::problem::Problem;
use grail_protocol::python_json::Value;

use super::{Claims, Stop};
use crate::verdict::{Check, Reason};

/// Checks the claim; checks nothing if no success is claimed.
pub(crate) fn check(
    commit: &Value,
    completion: &[u32],
    problem: &Problem,
    tokenizer: &dyn Tokenizer,
) -> Result<(), Stop> {
    let failed = |reason| Err(Stop::Failed(Check::Solution, reason));
    let claims = Claims::of(commit);
    let claimed = |key: &str| claims.get(key).map_err(|_| Stop::Skipped("the rollout's claims are no object"));
    if !claimed("success")?.is_some_and(Value::is_truthy) {
        return Ok(());
    }
    if completion.is_empty() {
        return failed(Reason::ParseFailed);
    }
    let assignment = Answer::parse(&tokenizer.decode(completion, false), problem.num_vars).assignment;
    let Some(claimed) = claimed("assignment")?.and_then(booleans).filter(|bits| bits.len() == problem.num_vars) else {
        return failed(Reason::InvalidStructure);
    };
    if assignment != claimed {
        return failed(Reason::AssignmentMismatch);
    }
    if !problem.is_solved_by(&assignment) {
        return failed(Reason::NotSatisfied);
    }
    Ok(())
}

fn booleans(value: &Value) -> Option<Vec<bool>> {
    let bit = |item: &Value| match item {
        Value::Bool(bit) => Some(*bit),
        _ => None,
    };
    value.as_list()?.iter().map(bit).collect()
}
