//! The few shapes that steps come in, so that each can be recorded once.

/// Longest sequence that is decoded.
pub(super) const CONTEXT_TOKENS_MAX: usize = 2048;
/// Tokens of the context that one block of the attention kernel takes.
pub(super) const CHUNK_TOKENS: usize = 128;
/// Chunks of the longest sequence.
pub(super) const CHUNKS_MAX: usize = CONTEXT_TOKENS_MAX / CHUNK_TOKENS;

/// Rows that steps have.
const ROWS: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256];

/// Returns rows that a step for `rollouts` has: a few more than needed, which are skipped.
pub(super) fn row_class(rollouts: usize) -> usize {
    ROWS.into_iter().find(|rows| rollouts <= *rows).unwrap_or_else(|| rollouts.next_multiple_of(128))
}

/// Chunks that a step with sequences of up to `tokens` has; blocks past a sequence's end return at once.
pub(super) fn chunk_class(tokens: usize) -> usize {
    tokens.div_ceil(CHUNK_TOKENS).next_multiple_of(4).min(CHUNKS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_rollouts_and_wastes_little() {
        for rollouts in 1..=600 {
            let rows = row_class(rollouts);
            assert!(rows >= rollouts && rows < 2 * rollouts, "{rollouts} {rows}");
            assert_eq!(row_class(rows), rows);
        }
        assert_eq!(row_class(256), 256);
    }

    #[test]
    fn the_chunks_of_a_class_cover_the_longest_sequence() {
        for tokens in 1..=CONTEXT_TOKENS_MAX {
            let chunks = chunk_class(tokens);
            assert!(chunks * CHUNK_TOKENS >= tokens && chunks <= CHUNKS_MAX);
            assert!(chunks * CHUNK_TOKENS < tokens + 4 * CHUNK_TOKENS);
        }
    }
}
