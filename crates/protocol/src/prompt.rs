//! The prompt, to the byte.

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
    let literal = |literal: &i32| format!("{}x{}", if *literal < 0 { "NOT " } else { "" }, literal.unsigned_abs());
    for clause in &problem.clauses {
        let literals: Vec<String> = clause.iter().map(literal).collect();
        text += &format!("  ({})\n", literals.join(" OR "));
    }
    text.push_str(
        "\nProvide your final assignment between <SOLUTION></SOLUTION> as space-separated 0/1 values for x1..xN \
         (e.g., <SOLUTION>0 1 0 1</SOLUTION>).\n",
    );
    text
}
