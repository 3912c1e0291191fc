//! Vectors of answers, their rewards, and the advantages of groups.

use grail_protocol::answer::{self, Answer};
use grail_protocol::problem::{Problem, ProblemSeed};
use grail_protocol::python_json::Value;

use super::GoldenError;
use super::case::{Case, VectorFile, list, object};
use super::report::FileReport;

pub(super) fn rewards(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let problem = problem_of(case)?;
        let answer = Answer::parse(case.text("completion")?, problem.num_vars);
        case.compare("parsed", parsed(&answer))?;
        let reward = answer.reward(&problem);
        case.compare("rewards", list(reward.components))?;
        case.compare("total", reward.total)?;
        case.compare("success", reward.success)?;
        case.compare("satisfied", answer.satisfied_clauses(&problem))
    })
}

pub(super) fn advantages(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let advantages = answer::advantages(&case.floats("rewards")?);
        case.compare("advantages", list(advantages))
    })
}

/// Returns the problem as the case spells it out; rewards depend on its clauses, not on how it was drawn.
fn problem_of(case: &mut Case) -> Result<Problem, GoldenError> {
    let clauses = case.list("clauses")?.iter().map(|clause| literals(case, clause)).collect::<Result<_, _>>()?;
    let origin = ProblemSeed { seed: case.text("seed")?.to_owned(), difficulty: 0.5 };
    Ok(Problem { origin, num_vars: case.int("num_vars")?, clauses })
}

fn literals(case: &Case, clause: &Value) -> Result<Vec<i32>, GoldenError> {
    let literal = |item: &Value| item.as_integral().and_then(|i| i32::try_from(i).ok()).filter(|i| *i != 0);
    let items = clause.as_list().unwrap_or_default();
    items
        .iter()
        .map(literal)
        .collect::<Option<_>>()
        .ok_or_else(|| case.unreadable("clauses", "holds what is not a literal"))
}

fn parsed(answer: &Answer) -> Value {
    object([
        ("assignment", list(answer.assignment.iter().copied())),
        ("answer_text", answer.text.as_str().into()),
        ("has_thinking", answer.has_thinking.into()),
        ("has_answer", answer.has_answer.into()),
        ("strict_format_ok", answer.strict.into()),
        ("trailing_after_answer", answer.trailing.into()),
        ("answer_has_only_bits_spaces", answer.only_bits.into()),
    ])
}
