//! The prompt, to the byte.

use std::fmt::Write;

use crate::problem::Problem;

/// Opens the working-out; the prompt ends with it.
pub const REASONING_START: &str = "<start_working_out>";
/// Ends the system text; also the token that ends a completion.
pub const END_OF_TURN: &str = "<|im_end|>";

const SYSTEM: &str = "You are given a problem.\n\
Think about the problem and provide your working out.\n\
Place it between <start_working_out> and <end_working_out>.\n\
Then, provide your solution between <SOLUTION></SOLUTION>\
Keep the reasoning succinct (≤25 steps, ≤500 tokens).";

/// Returns the whole prompt of a problem: system text, end of turn, problem text, start of the working-out.
pub fn prompt(problem: &Problem) -> String {
    [SYSTEM, END_OF_TURN, &problem_text(problem), REASONING_START].concat()
}

/// Returns the problem as the user's part of the prompt states it.
pub fn problem_text(problem: &Problem) -> String {
    let seed_head: String = problem.origin.seed.chars().take(8).collect();
    let mut text =
        format!("SAT Problem:\nSAT Problem (seed: {seed_head}...):\nVariables: {}\nClauses:\n", problem.num_vars);
    for clause in &problem.clauses {
        text.push_str("  (");
        for (i, literal) in clause.iter().enumerate() {
            let joint = if i > 0 { " OR " } else { "" };
            let negation = if *literal < 0 { "NOT " } else { "" };
            write!(text, "{joint}{negation}x{}", literal.unsigned_abs()).expect("writing to a String cannot fail");
        }
        text.push_str(")\n");
    }
    text.push_str(
        "\nProvide your final assignment between <SOLUTION></SOLUTION> as space-separated 0/1 values for x1..xN \
         (e.g., <SOLUTION>0 1 0 1</SOLUTION>).\n",
    );
    text
}
