//! Checks that memory is unchanged: sums over the weights, and over values that decoding and proof both compute.
//!
//! A network computes the same bits twice, whatever is in the batch, so any difference means damaged memory, however
//! plausible the result looks.

/// A sum over the bits of all values, in order. Every step can be undone, so no change of one value goes unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BitSum(u64);

/// Odd, with its bits spread evenly.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl BitSum {
    /// Returns the sum over one run of values.
    pub(super) fn of(values: &[f32]) -> Self {
        Self::default().and(values)
    }

    /// Returns the sum over these values as well.
    pub(super) fn and(self, values: &[f32]) -> Self {
        let step = |sum: u64, value: &f32| (sum.rotate_left(23) ^ u64::from(value.to_bits())).wrapping_mul(FACTOR);
        Self(values.iter().fold(self.0, step))
    }
}

/// Flips one bit of what a forward computes, for tests.
#[cfg(test)]
pub(super) mod flips {
    use std::cell::Cell;

    thread_local! {
        static PLANNED: Cell<Option<(usize, usize, u32)>> = const { Cell::new(None) };
        static PASSED: Cell<usize> = const { Cell::new(0) };
    }

    /// In the buffer of this number, counted from now on, flip this bit of the value at `index`, modulo its length.
    pub(in crate::cpu) fn plan(flip: Option<(usize, usize, u32)>) {
        PLANNED.set(flip);
        PASSED.set(0);
    }

    /// Buffers that passed by since the plan was made.
    pub(in crate::cpu) fn passed() -> usize {
        PASSED.get()
    }

    /// A buffer passes by.
    pub(in crate::cpu) fn pass(values: &mut [f32]) {
        let number = PASSED.replace(PASSED.get() + 1);
        if let Some((_, index, bit)) = PLANNED.get().filter(|(planned, ..)| *planned == number) {
            let value = &mut values[index % values.len()];
            *value = f32::from_bits(value.to_bits() ^ 1 << bit);
        }
    }
}
