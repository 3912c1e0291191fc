//! Matrices stored in panels of columns, as products read them.

use std::ops::Range;

/// Columns of a panel: two 256-bit vectors, so that a tile of four rows fills eight registers.
pub(super) const PANEL: usize = 16;

/// A matrix of `depth` rows and `width` columns, stored as panels of [`PANEL`] columns, each panel row by row.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    depth: usize,
    width: usize,
    data: Vec<f32>,
}

impl Panels {
    /// Creates a matrix of zeros; memory is taken from the system only as it is written.
    pub(super) fn zeros(depth: usize, width: usize) -> Self {
        Self { depth, width, data: vec![0.0; depth * width.div_ceil(PANEL) * PANEL] }
    }

    /// Returns the transpose of the row-major matrices in `parts`, stacked: how linear layers store their weights.
    ///
    /// Every part has rows of `depth` values, one row for each column of the result.
    pub(super) fn transposed(depth: usize, parts: &[Vec<f32>]) -> Self {
        let width = parts.iter().map(|part| part.len() / depth).sum();
        let mut panels = Self::zeros(depth, width);
        for (column, row) in parts.iter().flat_map(|part| part.chunks_exact(depth)).enumerate() {
            panels.set_column(column, row);
        }
        panels
    }

    /// Returns everything that is stored, padding too.
    pub(super) fn values(&self) -> &[f32] {
        &self.data
    }

    /// Returns the same, to damage it.
    #[cfg(test)]
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Returns rows of the matrix: the dimension that products sum over.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Returns columns of the matrix.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the first `count` columns.
    pub(super) fn first_columns(&self, count: usize) -> Part<'_> {
        Part { matrix: self, depth: self.depth, columns: 0..count }
    }

    /// Returns the first `count` rows.
    pub(super) fn first_rows(&self, count: usize) -> Part<'_> {
        Part { matrix: self, depth: count, columns: 0..self.width }
    }

    /// Writes column `column`, from the top; it may be shorter than the matrix is deep.
    pub(super) fn set_column(&mut self, column: usize, values: &[f32]) {
        let panel = self.panel_mut(column / PANEL);
        for (row, value) in panel.chunks_exact_mut(PANEL).zip(values) {
            row[column % PANEL] = *value;
        }
    }

    /// Copies column `column` into `values`.
    pub(super) fn copy_column(&self, column: usize, values: &mut [f32]) {
        for (row, value) in self.panel(column / PANEL).chunks_exact(PANEL).zip(values) {
            *value = row[column % PANEL];
        }
    }

    /// Writes row `row`; `values` has the matrix's width.
    pub(super) fn set_row(&mut self, row: usize, values: &[f32]) {
        for (index, part) in values.chunks(PANEL).enumerate() {
            self.panel_mut(index)[row * PANEL..][..part.len()].copy_from_slice(part);
        }
    }

    /// Panel `index`, row by row.
    pub(super) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.depth * PANEL..][..self.depth * PANEL]
    }

    fn panel_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.data[index * self.depth * PANEL..][..self.depth * PANEL]
    }
}

/// Rows of a row-major matrix: row r is `data[r * stride..]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The values.
    pub(super) data: &'a [f32],
    /// Distance from one row to the next.
    pub(super) stride: usize,
    /// Number of rows.
    pub(super) count: usize,
}

/// The first `depth` rows of some columns of a matrix.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    /// The matrix.
    pub(super) matrix: &'a Panels,
    /// Rows that count.
    pub(super) depth: usize,
    /// Columns that count; they start at a panel.
    pub(super) columns: Range<usize>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::synthetic::{Spread, weight};

    /// Numbers by formula.
    pub(in crate::cpu) fn values(count: usize, stream: u64) -> Vec<f32> {
        (0..count as u64).map(|index| weight(Spread::Linear, stream, index)).collect()
    }

    #[test]
    fn columns_rows_and_stacked_parts_land_where_they_belong() {
        let parts = [values(3 * 5, 1), values(20 * 5, 2)];
        let mut panels = Panels::transposed(5, &parts);
        assert_eq!(panels.width(), 23);
        let mut column = [0.0; 5];
        panels.copy_column(2, &mut column);
        assert_eq!(column, parts[0][10..15]);
        panels.copy_column(22, &mut column);
        assert_eq!(column, parts[1][95..]);
        panels.set_row(1, &[7.0; 23]);
        panels.copy_column(22, &mut column);
        assert_eq!(column, [parts[1][95], 7.0, parts[1][97], parts[1][98], parts[1][99]]);
    }
}
