//! The rotary frequencies as a server's vectorized host code computes them: part of the proof's bits.

use grail_engine::cpu::inverse_frequencies;

/// Theta 5,000,000 and heads of 128, as float32 bits: Qwen3-4B. Scalar host code differs at index 19 by one unit.
const QWEN3_4B: [u32; 64] = [
    0x3f800000, 0x3f492c28, 0x3f1e165d, 0x3ef875a7, 0x3ec33f3a, 0x3e996e52, 0x3e712429, 0x3e3d7efc, 0x3e14e963,
    0x3dea09db, 0x3db7ea1a, 0x3d908687, 0x3d63251b, 0x3d327f50, 0x3d0c44bf, 0x3cdc7456, 0x3cad3d5e, 0x3c88230f,
    0x3c55f605, 0x3c282311, 0x3c042088, 0x3bcfa8a9, 0x3ba32f3e, 0x3b803c3d, 0x3b498ad3, 0x3b1e60c3, 0x3af8ea93,
    0x3ac39b1c, 0x3a99b686, 0x3a7195a5, 0x3a3dd829, 0x3a152f76, 0x39ea77ff, 0x39b840a8, 0x3990ca8b, 0x39639000,
    0x3932d34f, 0x390c86c1, 0x38dcdc14, 0x38ad8ee4, 0x38886320, 0x38565ab5, 0x38287230, 0x38045eb6, 0x37d00a62,
    0x37a37c09, 0x37807896, 0x3749e9ab, 0x371eab4b, 0x36f95fb6, 0x36c3f72a, 0x3699fedc, 0x36720755, 0x363e3180,
    0x361575ab, 0x35eae655, 0x35b8975d, 0x35910eae, 0x3563fb18, 0x35332777, 0x350cc8e3, 0x34dd4405, 0x34ade091,
    0x3488a34f,
];

/// Returns the frequencies for a base and a head's length: the table where the reference's bits are known, else the
/// formula.
pub(super) fn reference_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    match (theta, head_dim) {
        (5e6, 128) => QWEN3_4B.iter().copied().map(f32::from_bits).collect(),
        _ => inverse_frequencies(theta, head_dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_differs_from_the_formula_by_at_most_a_unit() {
        let formula = inverse_frequencies(5e6, 128);
        let table = reference_frequencies(5e6, 128);
        assert_eq!(table.len(), 64);
        assert!(table.iter().zip(&formula).all(|(a, b)| a.to_bits().abs_diff(b.to_bits()) <= 1));
    }
}
