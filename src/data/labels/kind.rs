//! The files that labels are read from: what their columns are called, and how their cells are read.

/// A file of labels.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What a cell names.
    pub noun: &'static str,
    /// Several of them.
    pub plural: &'static str,
    /// The names that the column may have; the first is the one that remedies give.
    pub columns: &'static [&'static str],
    /// A row, as a remedy shows it.
    pub example: &'static str,
    /// The reason for which rows without one are counted.
    pub empty_rows: &'static str,
    /// The reason for which films without one are counted.
    pub empty_films: &'static str,
    pub reading: Reading,
    /// The most different cells, which are all kept.
    pub max_cells: usize,
}

/// How the text of a cell is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// As one name or several.
    Names,
    /// As one name, whatever characters it holds.
    Name,
    /// As a year or a date, of which the decade counts.
    Decade,
}
