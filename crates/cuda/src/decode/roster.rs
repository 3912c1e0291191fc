//! Which rollout sits in which slot, how long it is, and which pages hold its keys and values.

use super::pages::{PAGE_TOKENS, PagePool};

/// The slots of a batch. A rollout keeps its slot and all the pages it may ever need from its first token to its last, so
/// that nothing runs out on the way.
#[derive(Debug, Clone)]
pub struct Roster {
    seats: Vec<Option<Seat>>,
    pages: PagePool,
}

/// One rollout.
#[derive(Debug, Clone)]
struct Seat {
    /// Pages of its context in order; the first may be shared with the rest of its group.
    pages: Vec<u32>,
    /// Tokens whose keys and values are, or are about to be, in the pages, but for the last.
    tokens: usize,
    last_token: u32,
    is_drawing: bool,
}

/// Where a group was seated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seating {
    /// The slot of each rollout; the first one's pages receive the prompt.
    pub slots: Vec<usize>,
    /// Pages to be copied once the prompt is computed: the one that prompt and completion share.
    pub copies: Vec<(u32, u32)>,
}

impl Roster {
    /// Empty slots, and free pages.
    pub fn new(slots: usize, pages: usize) -> Self {
        Self { seats: vec![None; slots], pages: PagePool::new(pages) }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.seats.len()
    }

    /// Whether a group has room beside those that sit.
    pub fn has_room(&self, rollouts: usize, prompt: usize, new_tokens_max: usize) -> bool {
        let (shared, own) = pages_needed(prompt, new_tokens_max);
        let free = self.seats.iter().filter(|seat| seat.is_none()).count();
        rollouts <= free && shared + rollouts * own <= self.pages.free()
    }

    /// Whether a group would have room if nobody else sat.
    pub fn could_ever_seat(&self, rollouts: usize, prompt: usize, new_tokens_max: usize) -> bool {
        let (shared, own) = pages_needed(prompt, new_tokens_max);
        rollouts <= self.seats.len() && shared + rollouts * own <= self.pages.total()
    }

    /// Seat a group in the lowest free slots, if it has room.
    pub fn seat(&mut self, rollouts: usize, prompt: usize, new_tokens_max: usize) -> Option<Seating> {
        if rollouts == 0 || prompt == 0 || !self.has_room(rollouts, prompt, new_tokens_max) {
            return None;
        }
        let (shared, own) = pages_needed(prompt, new_tokens_max);
        let free = (0..self.seats.len()).filter(|slot| self.seats[*slot].is_none());
        let slots: Vec<usize> = free.take(rollouts).collect();
        let prompt_pages = self.pages.take(shared)?;
        let mut copies = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let own_pages = self.pages.take(own)?;
            if index > 0 {
                self.pages.share(&prompt_pages);
                let source = self.seats[slots[0]].as_ref().map(|seat| seat.pages[shared]);
                copies.extend(source.filter(|_| !prompt.is_multiple_of(PAGE_TOKENS)).map(|from| (from, own_pages[0])));
            }
            let pages = prompt_pages.iter().copied().chain(own_pages).collect();
            self.seats[*slot] = Some(Seat { pages, tokens: prompt, last_token: 0, is_drawing: false });
        }
        Some(Seating { slots, copies })
    }

    /// A rollout's first token was drawn.
    pub fn begin(&mut self, slot: usize, token: u32) {
        let seat = self.seat_mut(slot);
        seat.last_token = token;
        seat.is_drawing = true;
    }

    /// Another token was drawn.
    pub fn extend(&mut self, slot: usize, token: u32) {
        let seat = self.seat_mut(slot);
        seat.last_token = token;
        seat.tokens += 1;
    }

    /// A rollout has ended.
    pub fn leave(&mut self, slot: usize) {
        if let Some(seat) = self.seats[slot].take() {
            self.pages.give_back(&seat.pages);
        }
    }

    /// The slots that are drawing, lowest first.
    pub fn occupied(&self) -> Vec<usize> {
        let drawing = |slot: &usize| self.seats[*slot].as_ref().is_some_and(|seat| seat.is_drawing);
        (0..self.seats.len()).filter(drawing).collect()
    }

    /// Length of the longest sequence, the token not yet computed left out.
    pub fn longest(&self) -> usize {
        self.seats.iter().flatten().map(|seat| seat.tokens).max().unwrap_or(0)
    }

    /// The next row of each slot that is drawing: its last token, that token's position, and the slot.
    pub fn rows(&self) -> Vec<(u32, usize, usize)> {
        let seats = self.seats.iter().enumerate().filter_map(|(slot, seat)| seat.as_ref().map(|seat| (slot, seat)));
        seats.filter(|(_, seat)| seat.is_drawing).map(|(slot, seat)| (seat.last_token, seat.tokens, slot)).collect()
    }

    /// The pages of a slot's context.
    pub fn pages_of(&self, slot: usize) -> &[u32] {
        self.seats[slot].as_ref().map_or(&[], |seat| &seat.pages)
    }

    fn seat_mut(&mut self, slot: usize) -> &mut Seat {
        self.seats[slot].as_mut().unwrap_or_else(|| panic!("nobody sits in slot {slot}"))
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
        let mut roster = Roster::new(8, 100);
        let seating = roster.seat(4, 70, 30).unwrap();
        assert_eq!(seating.slots, [0, 1, 2, 3]);
        let first = roster.pages_of(0).to_vec();
        assert_eq!(first.len(), 4);
        for slot in 1..4 {
            assert_eq!(roster.pages_of(slot)[..2], first[..2]);
            assert!(roster.pages_of(slot)[2..].iter().all(|page| !first.contains(page)));
            assert_eq!(seating.copies[slot - 1], (first[2], roster.pages_of(slot)[2]));
        }
        assert_eq!(roster.seat(1, 64, 1).unwrap().copies, []);
    }

    #[test]
    fn a_group_that_ends_on_a_page_boundary_copies_nothing() {
        let mut roster = Roster::new(4, 100);
        assert_eq!(roster.seat(4, 64, 10).unwrap().copies, []);
    }

    #[test]
    fn pages_come_back_when_the_last_of_a_group_leaves() {
        let mut roster = Roster::new(4, 10);
        // Two shared, and two for each of four.
        let seating = roster.seat(4, 64, 64).unwrap();
        assert!(!roster.has_room(1, 1, 1));
        seating.slots[..3].iter().for_each(|slot| roster.leave(*slot));
        assert!(roster.has_room(3, 64, 0) && !roster.has_room(3, 64, 64));
        roster.leave(seating.slots[3]);
        assert!(roster.has_room(4, 64, 64));
    }

    #[test]
    fn who_has_no_room_is_not_seated_and_takes_nothing() {
        let mut roster = Roster::new(4, 10);
        assert_eq!(roster.seat(5, 10, 10), None);
        assert_eq!(roster.seat(4, 320, 32), None);
        assert!(roster.could_ever_seat(4, 64, 64) && !roster.could_ever_seat(4, 320, 32));
        assert!(roster.has_room(4, 64, 64));
    }

    #[test]
    fn only_those_that_draw_have_rows_and_each_goes_on_where_it_was() {
        let mut roster = Roster::new(6, 100);
        let seating = roster.seat(2, 40, 10).unwrap();
        assert_eq!(roster.rows(), []);
        roster.begin(seating.slots[0], 7);
        roster.begin(seating.slots[1], 8);
        assert_eq!(roster.rows(), [(7, 40, 0), (8, 40, 1)]);
        roster.extend(1, 9);
        roster.leave(0);
        assert_eq!((roster.rows(), roster.longest()), (vec![(9, 41, 1)], 41));
        assert_eq!(roster.seat(1, 5, 5).unwrap().slots, [0]);
    }
}
