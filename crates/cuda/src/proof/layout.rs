//! Which rows the sequences of a pass have: what two of them start with in common is computed once.

/// A sequence that is proved.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Prompt and completion.
    pub tokens: &'a [u32],
    /// How many of them are the prompt.
    pub prompt_length: usize,
}

impl Sequence<'_> {
    /// Returns the position whose row says what the first token after the prompt could be.
    pub(super) fn first_row(&self) -> usize {
        self.prompt_length.clamp(1, self.tokens.len()) - 1
    }
}

/// Common starts shorter than this are computed for each sequence: sharing has a price as well.
const SHARED_TOKENS_MIN: usize = 16;

/// Rows of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    /// Tokens of the sequence.
    pub tokens: usize,
    /// How many of its first rows belong to another sequence.
    pub shared: usize,
    /// The first of those rows.
    pub lead: usize,
    /// The first of its own rows, which follow one another.
    pub first: usize,
}

impl RowRange {
    /// Returns rows of its own.
    pub const fn own(&self) -> usize {
        self.tokens - self.shared
    }

    /// Returns the row of the token at `position`.
    pub const fn row(&self, position: usize) -> usize {
        if position < self.shared { self.lead + position } else { self.first + position - self.shared }
    }
}

/// The rows of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// One for each sequence, in their order.
    pub ranges: Vec<RowRange>,
    /// How many rows there are.
    pub rows: usize,
}

impl Layout {
    /// Gives each sequence its rows; a sequence reuses the rows of the earlier one with which it shares most.
    pub fn of(sequences: &[Sequence<'_>]) -> Self {
        let mut layout = Self::default();
        for sequence in sequences {
            layout.add(sequences, sequence.tokens);
        }
        layout
    }

    /// Adds the next of `sequences`.
    fn add(&mut self, sequences: &[Sequence<'_>], tokens: &[u32]) {
        // Only a sequence whose rows all follow one another can lend them.
        let leads = self.ranges.iter().zip(sequences).filter(|(range, _)| range.shared == 0);
        let shared = leads.map(|(range, lead)| (common(lead.tokens, tokens), range.first));
        let (shared, lead) = shared.max_by_key(|(shared, first)| (*shared, usize::MAX - first)).unwrap_or_default();
        let shared = if shared < SHARED_TOKENS_MIN { 0 } else { shared };
        let range = RowRange {
            tokens: tokens.len(),
            shared,
            lead: if shared == 0 { self.rows } else { lead },
            first: self.rows,
        };
        self.rows += range.own();
        self.ranges.push(range);
    }

    /// Returns the tokens of all rows.
    pub fn tokens(&self, sequences: &[Sequence<'_>]) -> Vec<u32> {
        let own = |(range, sequence): (&RowRange, &Sequence<'_>)| sequence.tokens[range.shared..].to_vec();
        self.ranges.iter().zip(sequences).flat_map(own).collect()
    }
}

/// Returns how many tokens both start with; one token is left to each.
fn common(lead: &[u32], tokens: &[u32]) -> usize {
    let equal = lead.iter().zip(tokens).take_while(|(a, b)| a == b).count();
    equal.min(tokens.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence(tokens: &[u32]) -> Sequence<'_> {
        Sequence { tokens, prompt_length: 1 }
    }

    #[test]
    fn a_prompt_is_computed_once() {
        let prompt: Vec<u32> = (0..30).collect();
        let rollouts: Vec<Vec<u32>> = (0..4).map(|i| [&prompt[..], &[100 + i; 12]].concat()).collect();
        let sequences: Vec<Sequence<'_>> = rollouts.iter().map(|tokens| sequence(tokens)).collect();
        let layout = Layout::of(&sequences);
        assert_eq!(layout.rows, 30 + 4 * 12);
        assert_eq!(layout.ranges[0], RowRange { tokens: 42, shared: 0, lead: 0, first: 0 });
        assert_eq!(layout.ranges[2], RowRange { tokens: 42, shared: 30, lead: 0, first: 42 + 12 });
    }

    #[test]
    fn equal_sequences_keep_a_row_of_their_own() {
        let tokens: Vec<u32> = (0..40).collect();
        let layout = Layout::of(&[sequence(&tokens), sequence(&tokens)]);
        assert_eq!((layout.rows, layout.ranges[1].own()), (41, 1));
    }

    #[test]
    fn few_common_tokens_are_not_shared() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((0..40).collect(), (0..40).map(|i| i.min(10)).collect());
        assert_eq!(Layout::of(&[sequence(&a), sequence(&b)]).rows, 80);
    }

    proptest! {
        #[test]
        fn every_position_leads_to_a_row_with_its_whole_past(
            rollouts in prop::collection::vec((0usize..3, 1usize..60, prop::collection::vec(0u32..2, 0..40)), 1..9)
        ) {
            // Prompts of a few kinds, cut somewhere, so that all ways of sharing occur.
            let prompt = |kind: usize, length: usize| (0..length as u32).map(move |i| i * 3 + kind as u32 % 2);
            let all: Vec<Vec<u32>> = rollouts.iter().map(|(k, l, rest)| prompt(*k, *l).chain(rest.clone()).collect()).collect();
            let sequences: Vec<Sequence<'_>> = all.iter().map(|tokens| sequence(tokens)).collect();
            let layout = Layout::of(&sequences);
            let tokens = layout.tokens(&sequences);
            prop_assert_eq!(tokens.len(), layout.rows);
            let mut owners = vec![0; layout.rows];
            for (range, tokens_of) in layout.ranges.iter().zip(&all) {
                let read: Vec<u32> = (0..range.tokens).map(|position| tokens[range.row(position)]).collect();
                prop_assert_eq!(&read, tokens_of);
                prop_assert!(range.own() > 0);
                (range.shared..range.tokens).for_each(|position| owners[range.row(position)] += 1);
            }
            prop_assert!(owners.iter().all(|count| *count == 1));
        }
    }
}
