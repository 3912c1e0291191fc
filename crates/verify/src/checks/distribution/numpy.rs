//! Sums, means and powers to numpy's last bit, which depends on its order of addition.

use std::hint::black_box;

/// Most values that numpy adds in one pass; a longer list is halved.
const BLOCK: usize = 128;
/// Sums that a pass keeps side by side.
const LANES: usize = 8;

/// `np.mean`.
pub(super) fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

/// `np.median` of sorted values: of an even number, the mean of the two in the middle.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    mean(if sorted.len() % 2 == 1 { &sorted[middle..=middle] } else { &sorted[middle - 1..=middle] })
}

/// `np.quantile` of sorted values: linear between the two nearest, from the nearer end.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let fraction = position - below as f64;
    let span = sorted[above] - sorted[below];
    if fraction >= 0.5 { sorted[above] - span * (1.0 - fraction) } else { sorted[below] + span * fraction }
}

/// `x ** exponent` by the C library's `pow`, as Python and numpy have it; two builds of numpy differ by more than two
/// libraries do.
pub(super) fn power(x: f64, exponent: f64) -> f64 {
    // Hidden from the compiler, which would square by a multiplication with another rounding.
    x.powf(black_box(exponent))
}

/// `np.sum` of a contiguous array: in pairs, down to blocks that are summed in eight lanes.
fn sum(values: &[f64]) -> f64 {
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return sum(left) + sum(right);
    }
    let Some((first, values)) = values.split_first_chunk::<LANES>() else {
        return values.iter().fold(-0.0, |sum, value| sum + value);
    };
    let mut lanes = *first;
    let passes = values.chunks_exact(LANES);
    let rest = passes.remainder();
    for pass in passes {
        lanes.iter_mut().zip(pass).for_each(|(lane, value)| *lane += value);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let pairs = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(pairs, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums that distinguish the orders: numpy 2.4 gave each of these for `np.sum` of the first n values of the list.
    #[test]
    fn sums_have_the_order_of_numpy() {
        let values: Vec<f64> = (0..1024u64).map(|i| (i * i % 1009 + 1) as f64 / 1009.0 / (i % 7 + 1) as f64).collect();
        let table: [(usize, u64); 12] = [
            (1, 0x3f503ce4584b19a0),
            (7, 0x3f93788f112ffef5),
            (8, 0x3fb18db62946abc2),
            (9, 0x3fb9cca21e1ccec6),
            (16, 0x3fe108d9e0952806),
            (127, 0x4035cb81156f77f4),
            (128, 0x403649ba6c75cfbc),
            (129, 0x40365e1c3069f8ac),
            (255, 0x404773216a69deb0),
            (264, 0x4048584e6ccc69d3),
            (513, 0x4058bf6602cecbc0),
            (1024, 0x4067ab7b3509531e),
        ];
        for (count, bits) in table {
            assert_eq!(sum(&values[..count]).to_bits(), bits, "{count} values");
        }
    }
}
