//! Plain text tables.

use crate::printable;

/// Returns columns aligned to the right, one line per row, headings first. A cell may hold foreign text.
pub fn render(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
        padded.join("  ") + "\n"
    };
    let body: String = rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
    line(headings.to_vec()) + &body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["1".into(), "accepted".into()], vec!["22222".into(), "no".into()]];
        assert_eq!(render(&["a", "verdict"], &rows), "    a   verdict\n    1  accepted\n22222        no\n");
    }

    #[test]
    fn a_cell_is_no_line() {
        assert_eq!(render(&["a"], &[vec!["x\ny\u{1b}".into()]]), "   a\nx y \n");
    }
}
