//! Check `sat_problem_valid`: the committed problem is the canonical one of the group's position in the file.

use grail_protocol::problem::Problem;
use grail_protocol::python_json::Value;

use super::Stop;
use crate::verdict::{Check, Reason};

/// Compares variables and clauses, and ignores seed and difficulty of the file.
pub(crate) fn check(commit: &Value, canonical: &Problem) -> Result<(), Stop> {
    let clauses =
        canonical.clauses.iter().map(|clause| Value::List(clause.iter().map(|&literal| literal.into()).collect()));
    let committed = commit.get("sat_problem");
    let field = |name: &str| committed.and_then(|problem| problem.get(name));
    let same = field("num_vars") == Some(&canonical.num_vars.into())
        && field("clauses") == Some(&Value::List(clauses.collect()));
    if same { Ok(()) } else { Err(Stop::Failed(Check::Problem, Reason::Mismatch)) }
}
