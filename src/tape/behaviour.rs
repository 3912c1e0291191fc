//! The register of intended changes of behaviour: what the core decides otherwise than builds before.
//!
//! A tape carries the numbers that were in force when it was recorded. Where the core must still be able to decide as
//! before, it asks for the number; a tape with a number that is not in the register needs a newer build.

use super::format::Header;

/// One intended change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// Its number: one more than the last, never used again, also where the change was taken back.
    pub number: u32,
    /// What is decided otherwise.
    pub what: &'static str,
}

impl Behaviour {
    /// Every change, oldest first; none so far.
    pub const ALL: &'static [Self] = &[];

    /// Numbers on a tape that this build does not know.
    pub fn unknown(header: &Header) -> Vec<u32> {
        let is_known = |number: &u32| Self::ALL.iter().any(|behaviour| behaviour.number == *number);
        header.behaviour.iter().copied().filter(|number| !is_known(number)).collect()
    }

    /// Changes that came after a tape was recorded: what a divergence may follow from.
    pub fn since(header: &Header) -> Vec<Self> {
        Self::ALL.iter().filter(|behaviour| !header.behaviour.contains(&behaviour.number)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_are_never_used_again() {
        assert!(Behaviour::ALL.is_sorted_by(|one, next| one.number < next.number));
        assert!(Behaviour::ALL.iter().all(|behaviour| behaviour.number > 0 && !behaviour.what.is_empty()));
    }
}
