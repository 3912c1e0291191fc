//! The matrix product that everything else is made of.
//!
//! Every element of a product is summed in order of the shared dimension, one rounded product and one rounded sum at a
//! time. Tiles, vector width, threads and the number of rows next to it therefore never change its bits. Libraries for
//! matrix products do not promise that: candle's gives a row other bits alone than next to others, and fuses or not as the
//! processor can.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::panels::{PANEL, Panels, Part, Rows};

/// Rows that one thread takes at least when a product is spread over threads by rows.
const ROWS_PER_TASK: usize = 32;
/// Multiplications below which a product stays on the calling thread: waking another would cost more.
const PARALLEL_WORK_MIN: usize = 8 << 20;

/// `out = x · w` for a linear layer; `x` has the matrix's depth a row, `out` its width. Spread over threads if that
/// pays.
pub(super) fn linear(x: &[f32], w: &Panels, out: &mut [f32]) {
    let (depth, width) = (w.depth(), w.width());
    let rows = out.len() / width;
    out.fill(0.0);
    if rows * depth * width < PARALLEL_WORK_MIN {
        multiply_add(Rows { data: x, stride: depth, count: rows }, w.first_rows(depth), out, width);
    } else if rows >= 2 * ROWS_PER_TASK {
        let tasks = out.par_chunks_mut(ROWS_PER_TASK * width).zip(x.par_chunks(ROWS_PER_TASK * depth));
        tasks.for_each(|(out, data)| {
            multiply_add(Rows { data, stride: depth, count: data.len() / depth }, w.first_rows(depth), out, width);
        });
    } else {
        linear_by_panels(Rows { data: x, stride: depth, count: rows }, w, out);
    }
}

/// A linear layer of few rows over many columns: threads share out the panels, each into its own tile.
fn linear_by_panels(x: Rows<'_>, w: &Panels, out: &mut [f32]) {
    let columns = |panel: usize| panel * PANEL..w.width().min((panel + 1) * PANEL);
    let mut tiles = vec![0.0; x.count * w.width().next_multiple_of(PANEL)];
    tiles.par_chunks_mut(x.count * PANEL).enumerate().for_each(|(panel, tile)| {
        multiply_add(x, Part { matrix: w, depth: w.depth(), columns: columns(panel) }, tile, PANEL);
    });
    for (panel, tile) in tiles.chunks_exact(x.count * PANEL).enumerate() {
        for (out, tile) in out.chunks_exact_mut(w.width()).zip(tile.chunks_exact(PANEL)) {
            out[columns(panel)].copy_from_slice(&tile[..columns(panel).len()]);
        }
    }
}

/// `out += x · w`; row r of `out` starts at `r * out_stride`, with the part's first column.
pub(super) fn multiply_add(x: Rows<'_>, w: Part<'_>, out: &mut [f32], out_stride: usize) {
    Arch::new().dispatch(Product { x, w, out, out_stride });
}

/// [`multiply_add`], compiled for each kind of vector instructions.
struct Product<'a> {
    x: Rows<'a>,
    w: Part<'a>,
    out: &'a mut [f32],
    out_stride: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const { assert!(PANEL.is_multiple_of(S::F32_LANES)) };
        match PANEL / S::F32_LANES {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            8 => self.run::<S, 8>(simd),
            _ => self.run::<S, PANEL>(simd),
        }
    }
}

impl Product<'_> {
    /// With `V` vectors to a panel.
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self { x, w: Part { matrix, depth, columns }, out, out_stride } = self;
        for first in columns.clone().step_by(PANEL) {
            let panel = S::as_simd_f32s(&matrix.panel(first / PANEL)[..depth * PANEL]).0.as_chunks().0;
            let tile = Tile::<S, V> { simd, x, panel, columns: PANEL.min(columns.end - first), out_stride };
            let out = &mut out[first - columns.start..];
            let mut row = 0;
            while row < x.count {
                row += match x.count - row {
                    1 => tile.add::<1>(row, out),
                    2 | 3 => tile.add::<2>(row, out),
                    _ => tile.add::<4>(row, out),
                }
            }
        }
    }
}

/// Common values of the tiles of one panel.
struct Tile<'a, S: Simd, const V: usize> {
    simd: S,
    x: Rows<'a>,
    panel: &'a [[S::f32s; V]],
    columns: usize,
    out_stride: usize,
}

impl<S: Simd, const V: usize> Tile<'_, S, V> {
    /// `out += x · panel` for `R` rows from `row` on, with the sums held in registers. Gives `R`.
    ///
    /// Product and sum are rounded each on its own: a fused multiply-add would give other bits if there is none.
    #[inline(always)]
    fn add<const R: usize>(&self, row: usize, out: &mut [f32]) -> usize {
        let simd = self.simd;
        let mut x: [&[f32]; R] = [&[]; R];
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for r in 0..R {
            x[r] = &self.x.data[(row + r) * self.x.stride..][..self.panel.len()];
            let start = load(&out[(row + r) * self.out_stride..], self.columns);
            sums[r].copy_from_slice(S::as_simd_f32s(&start).0);
        }
        for (k, weights) in self.panel.iter().enumerate() {
            for r in 0..R {
                let x = simd.splat_f32s(x[r][k]);
                for v in 0..V {
                    sums[r][v] = simd.add_f32s(sums[r][v], simd.mul_f32s(x, weights[v]));
                }
            }
        }
        for r in 0..R {
            let mut end = [0.0; PANEL];
            S::as_mut_simd_f32s(&mut end).0.copy_from_slice(&sums[r]);
            store(&end, &mut out[(row + r) * self.out_stride..], self.columns);
        }
        R
    }
}

/// Returns the first `columns` values; whole panels, which are the rule, without a call to copy them.
#[inline(always)]
fn load(values: &[f32], columns: usize) -> [f32; PANEL] {
    if let (PANEL, Some(whole)) = (columns, values.first_chunk()) {
        return *whole;
    }
    let mut part = [0.0; PANEL];
    part[..columns].copy_from_slice(&values[..columns]);
    part
}

/// Writes the first `columns` of `sums`, as [`load`] reads them.
#[inline(always)]
fn store(sums: &[f32; PANEL], out: &mut [f32], columns: usize) {
    if let (PANEL, Some(whole)) = (columns, out.first_chunk_mut()) {
        *whole = *sums;
    } else {
        out[..columns].copy_from_slice(&sums[..columns]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::panels::tests::values;
    use super::*;

    /// Row-major x [rows, depth] times the transpose of row-major w [width, depth], summed in order.
    fn plain_product(x: &[f32], w: &[f32], depth: usize) -> Vec<f32> {
        let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).fold(0f32, |sum, (x, w)| sum + x * w);
        x.chunks(depth).flat_map(|x| w.chunks(depth).map(move |w| dot(x, w))).collect()
    }

    #[test]
    fn every_way_to_compute_a_product_gives_the_bits_of_the_plain_loop() {
        // The shapes take, in order: the calling thread, threads by panels, threads by rows.
        for (rows, depth, width) in [(1, 3, 1), (4, 72, 33), (7, 20, 16), (3, 600, 5003), (70, 300, 450)] {
            let (x, w) = (values(rows * depth, 1), values(width * depth, 2));
            let mut out = vec![f32::NAN; rows * width];
            linear(&x, &Panels::transposed(depth, std::slice::from_ref(&w)), &mut out);
            assert_eq!(out, plain_product(&x, &w, depth), "{rows} {depth} {width}");
        }
    }

    #[test]
    fn products_over_parts_of_a_matrix_land_beside_each_other() {
        let (rows, depth, width) = (5, 24, 40);
        let (x, w) = (values(rows * depth, 3), values(width * depth, 4));
        let panels = Panels::transposed(depth, std::slice::from_ref(&w));
        let mut in_two_parts = vec![0.0; rows * 50];
        let all = |data| Rows { data, stride: depth, count: rows };
        for columns in [0..32, 32..37] {
            let out = &mut in_two_parts[2 + columns.start..];
            multiply_add(all(&x), Part { matrix: &panels, depth, columns }, out, 50);
        }
        for (row, expected) in in_two_parts.chunks(50).zip(plain_product(&x, &w, depth).chunks(width)) {
            assert_eq!(row[2..39], expected[..37]);
            assert!(row[..2].iter().chain(&row[39..]).all(|&untouched| untouched == 0.0));
        }
    }
}
