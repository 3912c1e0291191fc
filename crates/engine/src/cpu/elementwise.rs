//! The network's functions of single rows: norms, softmax, activation, rotation. Bits depend on the row alone.

use pulp::{Arch, Simd, WithSimd};

/// Partial sums that a row is folded into, lane i taking elements i, i + 16, …: a fixed order that vectorizes.
const LANES: usize = 16;

/// Sum of squares-mean norm: `row · rsqrt(mean(row²) + epsilon) · weight`, written to `out`.
pub(super) fn rms_norm(row: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = rms_scale(row, epsilon);
    for ((out, x), w) in out.iter_mut().zip(row).zip(weight) {
        *out = w * (x * scale);
    }
}

/// [`rms_norm`] in place.
pub(super) fn rms_norm_in_place(row: &mut [f32], weight: &[f32], epsilon: f32) {
    let scale = rms_scale(row, epsilon);
    for (x, w) in row.iter_mut().zip(weight) {
        *x = w * (*x * scale);
    }
}

fn rms_scale(row: &[f32], epsilon: f32) -> f32 {
    let mean = lane_sum(row, |x| x * x) / row.len() as f32;
    1.0 / (mean + epsilon).sqrt()
}

/// Softmax of `scores` in place.
pub(super) fn softmax(scores: &mut [f32]) {
    struct Softmax<'a>(&'a mut [f32]);

    impl WithSimd for Softmax<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let largest = maximum(self.0);
            for score in self.0.iter_mut() {
                *score = exp(*score - largest);
            }
            let sum = lane_sum(self.0, |x| x);
            for score in self.0.iter_mut() {
                *score /= sum;
            }
        }
    }
    Arch::new().dispatch(Softmax(scores));
}

/// Largest of `logits` and the sum over them of exp(logit − largest): float32 terms, summed in float64 because a large
/// vocabulary has too many for float32.
pub(super) fn softmax_sum(logits: &[f32]) -> (f32, f64) {
    struct SoftmaxSum<'a>(&'a [f32]);

    impl WithSimd for SoftmaxSum<'_> {
        type Output = (f32, f64);

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> (f32, f64) {
            let largest = maximum(self.0);
            let mut lanes = [0f64; LANES];
            let (chunks, rest) = self.0.as_chunks::<LANES>();
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += f64::from(exp(x - largest));
                }
            }
            for (lane, x) in lanes.iter_mut().zip(rest) {
                *lane += f64::from(exp(x - largest));
            }
            (largest, lanes.iter().sum())
        }
    }
    Arch::new().dispatch(SoftmaxSum(logits))
}

/// The gated activation: for a row of gates followed by as many values, `silu(gate) · value` into `out`.
pub(super) fn gated(gates_and_values: &[f32], out: &mut [f32]) {
    struct Gated<'a> {
        gates: &'a [f32],
        values: &'a [f32],
        out: &'a mut [f32],
    }

    impl WithSimd for Gated<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for ((out, gate), value) in self.out.iter_mut().zip(self.gates).zip(self.values) {
                *out = gate / (1.0 + exp(-gate)) * value;
            }
        }
    }
    let (gates, values) = gates_and_values.split_at(out.len());
    Arch::new().dispatch(Gated { gates, values, out });
}

/// `x += y`.
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Rotates a head's vector: `x · cos + rotate_half(x) · sin`, the second half of the vector being the imaginary parts.
pub(super) fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (real, imaginary) = head.split_at_mut(cos.len());
    for (((re, im), c), s) in real.iter_mut().zip(imaginary).zip(cos).zip(sin) {
        (*re, *im) = (*re * c - *im * s, *im * c + *re * s);
    }
}

/// Returns the largest element; NaN if the row is empty.
#[inline(always)]
fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    rest.iter().chain(&lanes).copied().fold(f32::NEG_INFINITY, f32::max)
}

#[inline(always)]
fn lane_sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += term(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += term(*x);
    }
    lanes.iter().sum()
}

/// e^x in float32 to about one unit in the last place, clamped to the normal range; NaN stays NaN.
///
/// Own code because the system's differs from machine to machine, and because this one vectorizes. Cephes' `expf`:
/// x = n·ln 2 + r with ln 2 split in two, a polynomial in r, and n put into the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5·2^23 rounds to the nearest integer, and leaves it in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * (355.0 / 512.0)) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + coefficient;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (p * (r * r) + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close_to_the_exact_one() {
        let mut worst = 0f64;
        for step in -87_000..=88_000 {
            let x = step as f32 / 1000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 1.2e-7, "{worst}");
    }

    #[test]
    fn the_exponential_has_no_surprises_at_the_edges() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1.7e-38);
        assert!(exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn softmax_is_a_distribution_and_lets_nan_through() {
        for count in [1, 15, 16, 17, 300] {
            let mut scores: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin() * 9.0).collect();
            let plain: Vec<f64> = scores.iter().map(|&s| f64::from(s).exp()).collect();
            let total: f64 = plain.iter().sum();
            let (largest, sum) = softmax_sum(&scores);
            assert!((sum * f64::from(largest).exp() / total - 1.0).abs() < 1e-6);
            softmax(&mut scores);
            for (score, plain) in scores.iter().zip(plain) {
                assert!((f64::from(*score) - plain / total).abs() < 1e-6);
            }
        }
        let mut scores = [0.0, f32::NAN, 1.0];
        assert!(softmax_sum(&scores).1.is_nan());
        softmax(&mut scores);
        assert!(scores.iter().all(|score| score.is_nan()));
    }

    #[test]
    fn the_norm_scales_to_a_mean_square_of_one() {
        let mut out = [0.0; 2];
        rms_norm(&[3.0, 4.0], &[1.0, 2.0], 0.0, &mut out);
        let root = 12.5f32.sqrt();
        assert!((out[0] - 3.0 / root).abs() < 1e-6 && (out[1] - 8.0 / root).abs() < 1e-6);
    }

    #[test]
    fn the_gate_is_silu() {
        let mut out = [0.0; 3];
        gated(&[0.0, 2.0, -200.0, 5.0, 3.0, 1.0], &mut out);
        assert_eq!(out[0], 0.0);
        assert!((out[1] - 6.0 / (1.0 + (-2f32).exp())).abs() < 1e-6);
        assert!(out[2].abs() < 1e-30);
    }

    #[test]
    fn rotation_turns_each_pair() {
        // A quarter turn of (1, 3) and no turn of (2, 4).
        let mut head = [1.0, 2.0, 3.0, 4.0];
        rotate(&mut head, &[0.0, 1.0], &[1.0, 0.0]);
        assert_eq!(head, [-3.0, 2.0, 1.0, 4.0]);
    }
}
