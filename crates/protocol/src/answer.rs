//! Reading an answer from a completion, its reward, and the advantages of a group.

use crate::hexadecimal::is_python_space;
use crate::problem::Problem;

/// A completion's answer, as the reference's parser reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The first n bits of the answer, padded with false to n; empty if the answer text is empty.
    pub assignment: Vec<bool>,
    /// Text between the tags; empty without an answer.
    pub text: String,
    /// Whether a closed thinking block was found.
    pub has_thinking: bool,
    /// Whether a closed answer was found.
    pub has_answer: bool,
    /// One pair of tags in all, nothing after it, only bits inside, exactly n of them.
    pub strict: bool,
    /// Characters after the closing tag used.
    pub trailing: usize,
    /// The answer text holds nothing but 0, 1 and white space (true for an empty one).
    pub only_bits: bool,
    bit_count: usize,
}

/// Reward of a completion: six components, in the order of their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reward {
    /// Correctness, strict format, has an answer, exactly n bits, nothing trailing, only bits.
    pub components: [f64; 6],
    /// Weighted sum in that order.
    pub total: f64,
    /// Whether every clause holds under a well-formed answer.
    pub success: bool,
}

const WEIGHTS: [f64; 6] = [1.0, 0.15, 0.10, 0.15, 0.10, 0.05];

/// Smallest and largest total reward that a completion can earn.
pub const REWARD_BOUNDS: (f64, f64) = (-0.2, 1.135);

const SOLUTION_OPEN: &str = "<solution>";
const SOLUTION_CLOSE: &str = "</solution>";
const THINKING_OPEN: &str = "<start_working_out>";
const THINKING_CLOSE: &str = "</end_working_out>";

impl Answer {
    /// Reads the answer to a problem of `num_vars` variables from a completion's text.
    pub fn parse(completion: &str, num_vars: usize) -> Self {
        let text: Vec<char> = completion.chars().collect();
        let thinking_end = span(&text, 0, THINKING_OPEN, THINKING_CLOSE).map(|span| span.after);
        let found = thinking_end
            .and_then(|end| span(&text, end, SOLUTION_OPEN, SOLUTION_CLOSE))
            .or_else(|| span(&text, 0, SOLUTION_OPEN, SOLUTION_CLOSE));
        let inside = found.as_ref().map_or(&[][..], |span| &text[span.inner_start..span.inner_end]);
        let trailing = found.as_ref().map_or(0, |span| text.len() - span.after);
        let mut bits: Vec<bool> = inside.iter().filter(|c| matches!(c, '0' | '1')).map(|c| *c == '1').collect();
        let only_bits = inside.iter().all(|&c| matches!(c, '0' | '1') || is_python_space(c));
        let bit_count = bits.len();
        bits.resize(if inside.is_empty() { 0 } else { num_vars }, false);
        let single_pair = count(&text, SOLUTION_OPEN) == 1 && count(&text, SOLUTION_CLOSE) == 1;
        Self {
            assignment: bits,
            text: inside.iter().collect(),
            has_thinking: thinking_end.is_some(),
            has_answer: found.is_some(),
            strict: found.is_some() && single_pair && trailing == 0 && only_bits && bit_count == num_vars,
            trailing,
            only_bits,
            bit_count,
        }
    }

    /// Returns how many clauses of `problem` hold; 0 if nothing was answered.
    pub fn satisfied_clauses(&self, problem: &Problem) -> usize {
        if self.assignment.is_empty() { 0 } else { problem.satisfied_clauses(&self.assignment) }
    }

    /// Returns the reward of this answer to `problem`.
    pub fn reward(&self, problem: &Problem) -> Reward {
        let exact = self.bit_count == problem.num_vars;
        let well_formed = self.has_answer && self.only_bits && self.trailing == 0 && exact;
        let success = well_formed && problem.is_solved_by(&self.assignment);
        let if_answered = |value: f64| if self.has_answer { value } else { 0.0 };
        let components = [
            match (well_formed, success) {
                (false, _) => -0.2,
                (true, true) => 1.0,
                (true, false) => 0.0,
            },
            if self.strict { 0.3 } else { 0.0 },
            if_answered(0.2),
            if exact { 0.3 } else { 0.0 },
            if_answered((0.2 - 0.001 * self.trailing as f64).max(0.0)),
            if_answered(if self.only_bits { 0.1 } else { 0.0 }),
        ];
        let total = components.iter().zip(WEIGHTS).fold(0.0, |sum, (value, weight)| sum + weight * value);
        Reward { components, total, success }
    }
}

/// Returns each reward's distance from the mean in population standard deviations; the deviation is at least 1e−8.
pub fn advantages(rewards: &[f64]) -> Vec<f64> {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count;
    let variance = rewards.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / count;
    let deviation = variance.sqrt().max(1e-8);
    rewards.iter().map(|r| (r - mean) / deviation).collect()
}

/// A tagged span of a text, in characters.
struct Span {
    inner_start: usize,
    inner_end: usize,
    after: usize,
}

/// Returns the first `open … close` at or after `from`.
fn span(text: &[char], from: usize, open: &str, close: &str) -> Option<Span> {
    let inner_start = find(text, from, open)? + open.len();
    let inner_end = find(text, inner_start, close)?;
    Some(Span { inner_start, inner_end, after: inner_end + close.len() })
}

fn find(text: &[char], from: usize, tag: &str) -> Option<usize> {
    (from..(text.len() + 1).saturating_sub(tag.len())).find(|&i| matches_at(text, i, tag))
}

/// Matches of `tag`; tags start with `<` and hold no other, so they cannot overlap.
fn count(text: &[char], tag: &str) -> usize {
    (0..(text.len() + 1).saturating_sub(tag.len())).filter(|&i| matches_at(text, i, tag)).count()
}

fn matches_at(text: &[char], at: usize, tag: &str) -> bool {
    tag.chars().zip(&text[at..]).all(|(t, &c)| same_letter(t, c))
}

/// Python's `re.IGNORECASE` for a lower-case ASCII pattern letter: a few letters beyond ASCII fold onto it.
fn same_letter(pattern: char, c: char) -> bool {
    c.to_ascii_lowercase() == pattern
        || matches!((pattern, c), ('s', 'ſ') | ('k', '\u{212a}') | ('i', 'ı') | ('i', 'İ'))
}
