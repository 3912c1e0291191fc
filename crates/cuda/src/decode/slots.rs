//! Which rollout is in which slot, how long it is, and which pages hold its keys and values.

use super::pages::{PAGE_TOKENS, PagePool};

/// The slots of a batch. A rollout keeps its slot and all the pages it may ever need from its first token to its last, so
/// that nothing runs out on the way.
#[derive(Debug, Clone)]
pub struct SlotTable {
    slots: Vec<Option<Slot>>,
    pages: PagePool,
}

/// One rollout.
#[derive(Debug, Clone)]
struct Slot {
    /// Pages of its context in order; the first may be shared with the rest of its group.
    pages: Vec<u32>,
    /// Tokens whose keys and values are, or are about to be, in the pages, except the last.
    tokens: usize,
    last_token: u32,
    is_drawing: bool,
}

/// Slots and pages given to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotAllocation {
    /// The slot of each rollout; the first one's pages receive the prompt.
    pub slots: Vec<usize>,
    /// Pages to be copied once the prompt is computed: the one that prompt and completion share.
    pub copies: Vec<(u32, u32)>,
}

impl SlotTable {
    /// Empty slots, and free pages.
    pub fn new(slots: usize, pages: usize) -> Self {
        Self { slots: vec![None; slots], pages: PagePool::new(pages) }
    }

    /// Returns how many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether a group fits next to the running rollouts.
    pub fn has_room(&self, rollouts: usize, prompt: usize, new_tokens_max: usize) -> bool {
        let (shared, own) = pages_needed(prompt, new_tokens_max);
        let free = self.slots.iter().filter(|state| state.is_none()).count();
        rollouts <= free && shared + rollouts * own <= self.pages.free()
    }

    /// Returns whether a group would fit into an empty table.
    pub fn could_ever_fit(&self, rollouts: usize, prompt: usize, new_tokens_max: usize) -> bool {
        let (shared, own) = pages_needed(prompt, new_tokens_max);
        rollouts <= self.slots.len() && shared + rollouts * own <= self.pages.total()
    }

    /// Gives a group the lowest free slots and its pages; none if it does not fit.
    pub fn allocate(&mut self, rollouts: usize, prompt: usize, new_tokens_max: usize) -> Option<SlotAllocation> {
        if rollouts == 0 || prompt == 0 || !self.has_room(rollouts, prompt, new_tokens_max) {
            return None;
        }
        let (shared, own) = pages_needed(prompt, new_tokens_max);
        let free = (0..self.slots.len()).filter(|slot| self.slots[*slot].is_none());
        let slots: Vec<usize> = free.take(rollouts).collect();
        let prompt_pages = self.pages.take(shared)?;
        let mut copies = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let own_pages = self.pages.take(own)?;
            if index > 0 {
                self.pages.share(&prompt_pages);
                let source = self.slots[slots[0]].as_ref().map(|state| state.pages[shared]);
                copies.extend(source.filter(|_| !prompt.is_multiple_of(PAGE_TOKENS)).map(|from| (from, own_pages[0])));
            }
            let pages = prompt_pages.iter().copied().chain(own_pages).collect();
            self.slots[*slot] = Some(Slot { pages, tokens: prompt, last_token: 0, is_drawing: false });
        }
        Some(SlotAllocation { slots, copies })
    }

    /// A rollout's first token was drawn.
    pub fn begin(&mut self, slot: usize, token: u32) {
        let state = self.slot_mut(slot);
        state.last_token = token;
        state.is_drawing = true;
    }

    /// Records another drawn token.
    pub fn extend(&mut self, slot: usize, token: u32) {
        let state = self.slot_mut(slot);
        state.last_token = token;
        state.tokens += 1;
    }

    /// A rollout has ended.
    pub fn release(&mut self, slot: usize) {
        if let Some(state) = self.slots[slot].take() {
            self.pages.give_back(&state.pages);
        }
    }

    /// Returns the slots that are drawing, lowest first.
    pub fn occupied(&self) -> Vec<usize> {
        let drawing = |slot: &usize| self.slots[*slot].as_ref().is_some_and(|state| state.is_drawing);
        (0..self.slots.len()).filter(drawing).collect()
    }

    /// Returns the length of the longest sequence, without the token not yet computed.
    pub fn longest(&self) -> usize {
        self.slots.iter().flatten().map(|state| state.tokens).max().unwrap_or(0)
    }

    /// Returns the next row of each slot that is drawing: its last token, that token's position, and the slot.
    pub fn rows(&self) -> Vec<(u32, usize, usize)> {
        let slots = self.slots.iter().enumerate().filter_map(|(slot, state)| state.as_ref().map(|state| (slot, state)));
        slots
            .filter(|(_, state)| state.is_drawing)
            .map(|(slot, state)| (state.last_token, state.tokens, slot))
            .collect()
    }

    /// Returns the pages of a slot's context.
    pub fn pages_of(&self, slot: usize) -> &[u32] {
        self.slots[slot].as_ref().map_or(&[], |state| &state.pages)
    }

    fn slot_mut(&mut self, slot: usize) -> &mut Slot {
        self.slots[slot].as_mut().unwrap_or_else(|| panic!("no rollout is in slot {slot}"))
    }
}

/// Pages that a group shares, and pages that each of its rollouts needs for itself.
fn pages_needed(prompt: usize, new_tokens_max: usize) -> (usize, usize) {
    let shared = prompt / PAGE_TOKENS;
    (shared, (prompt + new_tokens_max).div_ceil(PAGE_TOKENS) - shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_the_whole_pages_of_its_prompt_and_copies_the_last() {
        let mut slots = SlotTable::new(8, 100);
        let allocation = slots.allocate(4, 70, 30).unwrap();
        assert_eq!(allocation.slots, [0, 1, 2, 3]);
        let first = slots.pages_of(0).to_vec();
        assert_eq!(first.len(), 4);
        for slot in 1..4 {
            assert_eq!(slots.pages_of(slot)[..2], first[..2]);
            assert!(slots.pages_of(slot)[2..].iter().all(|page| !first.contains(page)));
            assert_eq!(allocation.copies[slot - 1], (first[2], slots.pages_of(slot)[2]));
        }
        assert_eq!(slots.allocate(1, 64, 1).unwrap().copies, []);
    }

    #[test]
    fn a_group_that_ends_on_a_page_boundary_copies_nothing() {
        let mut slots = SlotTable::new(4, 100);
        assert_eq!(slots.allocate(4, 64, 10).unwrap().copies, []);
    }

    #[test]
    fn pages_come_back_when_the_last_of_a_group_leaves() {
        let mut slots = SlotTable::new(4, 10);
        // Two shared, and two for each of four.
        let allocation = slots.allocate(4, 64, 64).unwrap();
        assert!(!slots.has_room(1, 1, 1));
        allocation.slots[..3].iter().for_each(|slot| slots.release(*slot));
        assert!(slots.has_room(3, 64, 0) && !slots.has_room(3, 64, 64));
        slots.release(allocation.slots[3]);
        assert!(slots.has_room(4, 64, 64));
    }

    #[test]
    fn without_room_a_sequence_takes_no_slot_and_no_page() {
        let mut slots = SlotTable::new(4, 10);
        assert_eq!(slots.allocate(5, 10, 10), None);
        assert_eq!(slots.allocate(4, 320, 32), None);
        assert!(slots.could_ever_fit(4, 64, 64) && !slots.could_ever_fit(4, 320, 32));
        assert!(slots.has_room(4, 64, 64));
    }

    #[test]
    fn only_drawing_sequences_have_rows_and_each_continues_at_its_place() {
        let mut slots = SlotTable::new(6, 100);
        let allocation = slots.allocate(2, 40, 10).unwrap();
        assert_eq!(slots.rows(), []);
        slots.begin(allocation.slots[0], 7);
        slots.begin(allocation.slots[1], 8);
        assert_eq!(slots.rows(), [(7, 40, 0), (8, 40, 1)]);
        slots.extend(1, 9);
        slots.release(0);
        assert_eq!((slots.rows(), slots.longest()), (vec![(9, 41, 1)], 41));
        assert_eq!(slots.allocate(1, 5, 5).unwrap().slots, [0]);
    }
}
