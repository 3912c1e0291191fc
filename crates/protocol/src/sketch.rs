//! The sketch: hidden states projected to one integer per position.

use crate::constants::PROTOCOL;

/// Why a hidden state has no sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// The hidden state or its projection is NaN or infinite.
    #[error(
        "the hidden state at position {position} is not finite; the weights or the device are damaged: reload the model"
    )]
    NotFinite {
        /// Position in the sequence.
        position: usize,
    },
}

/// Multiplies by 1024 and rounds half to even, as the sketch requires.
pub fn scale(hidden: f32) -> f32 {
    (hidden * 1024.0).round_ties_even()
}

/// Returns the projection vector as the float32 values that enter the dot product.
pub fn projection(r_vec: &[i32]) -> Vec<f32> {
    r_vec.iter().map(|&r| r as f32).collect()
}

/// Returns the sketch of one hidden state: float32 dot product with the projection, truncated, modulo q.
///
/// `hidden` and `projection` have the hidden size's length. The float32 terms are summed in order of index, so a host
/// gives the same bits everywhere; the bits of a CUDA device come from the device (see the engine).
pub fn sketch(hidden: &[f32], projection: &[f32], position: usize) -> Result<u32, SketchError> {
    let mut sum = 0f32;
    for (h, r) in hidden.iter().zip(projection) {
        sum += scale(*h) * r;
    }
    if !sum.is_finite() || hidden.iter().any(|h| !h.is_finite()) {
        return Err(SketchError::NotFinite { position });
    }
    Ok(reduce(sum))
}

/// Truncates a finite dot product toward zero and reduces it to 0 ≤ s < q.
pub fn reduce(dot: f32) -> u32 {
    // Every float32 is a float64, and the remainder of two float64 is exact.
    f64::from(dot).trunc().rem_euclid(f64::from(PROTOCOL.modulus)) as u32
}

/// Returns whether a validator that computed `local` accepts `committed`: min(|d|, q − |d|) ≤ tolerance, as the
/// reference has it.
///
/// A committed value a whole modulus away gives a negative distance there, and passes.
pub fn agrees(local: u32, committed: i128) -> bool {
    let difference = i128::from(local).saturating_sub(committed).saturating_abs();
    let around = i128::from(PROTOCOL.modulus) - difference;
    difference.min(around) <= i128::from(PROTOCOL.sketch_tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_rounds_half_to_even() {
        for (units, rounded) in [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, 0.0), (-1.5, -2.0), (3.49, 3.0)] {
            assert_eq!(scale(units / 1024.0), rounded, "{units}");
        }
    }

    #[test]
    fn the_dot_product_is_float32_in_order_of_index() {
        // 2^24 + 1 is lost in float32 when the large term comes first, and kept by none of the wider formats' roundings.
        let hidden = [1.0 / 1024.0, 1.0 / 1024.0, 1.0 / 1024.0];
        let projection = [16_777_216.0, 1.0, 1.0];
        assert_eq!(sketch(&hidden, &projection, 0), Ok(16_777_216));
        let reversed = [1.0, 1.0, 16_777_216.0];
        assert_eq!(sketch(&hidden, &reversed, 0), Ok(16_777_218));
    }

    #[test]
    fn the_modulus_is_never_negative_and_exact() {
        let q = i128::from(PROTOCOL.modulus);
        for dot in [0.0f32, 5.9, -5.9, 3.0e9, -3.0e9, 1.234e20, -1.234e20, 8.0e37, -8.0e37] {
            let expected = (dot.trunc() as i128).rem_euclid(q);
            assert_eq!(i128::from(reduce(dot)), expected, "{dot}");
        }
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(sketch(&[0.0, bad], &[1.0, 0.0], 7), Err(SketchError::NotFinite { position: 7 }));
        }
    }

    #[test]
    fn agreement_goes_around_the_circle_and_beyond() {
        let q = i128::from(PROTOCOL.modulus);
        assert!(agrees(1, q - 2));
        assert!(!agrees(1, q - 3));
        assert!(agrees(100, 103) && agrees(100, 97));
        assert!(!agrees(100, 104) && !agrees(100, 96));
        assert!(agrees(5, q + 5), "the reference's own oddity");
        assert!(agrees(5, i128::MAX) && agrees(5, i128::MIN));
    }
}
