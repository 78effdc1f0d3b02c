//! Tables on the terminal: one printer for all of them, and the table of results.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, presets};

use crate::report::Metrics;
use crate::text::{excerpt, printable};

/// The width that tables fit into.
const WIDTH: u16 = 80;
/// Results on fewer films than this are marked: there, the interval of a share is some 20 points
/// wide.
pub(crate) const FEW: usize = 100;

/// The AUC of scores that say nothing.
pub(crate) const CHANCE_AUC: f64 = 0.5;

/// The results of experiments, a column each. Under a metric stands that of the trivial answer,
/// which it has to beat; in brackets its interval, where there is one.
///
/// `Display` shows plain text with aligned columns and a line feed after each line. Hits are in per
/// cent; what does not apply is `n/a`. Results on fewer than 100 films are named under the table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [Metrics]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let row = |name: &str, cell: &dyn Fn(&Metrics) -> String| {
            std::iter::once(name.to_owned()).chain(self.0.iter().map(cell)).collect::<Vec<_>>()
        };
        let hit = |share: f64, interval: Option<[f64; 2]>| {
            let ends = |[low, high]: [f64; 2]| format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high);
            percent(share) + &interval.map_or(String::new(), ends)
        };
        let mean = |value: Option<f64>, interval: Option<[f64; 2]>| {
            score(value) + &interval.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"))
        };
        let rows = vec![
            row("films", &|of| of.films.to_string()),
            row("top-1 hit", &|of| hit(of.top1_hit, of.intervals.as_ref().map(|all| all.top1_hit))),
            row("  constant", &|of| percent(of.baselines.constant_top1_hit)),
            row("top-3 hit", &|of| hit(of.top3_hit, of.intervals.as_ref().map(|all| all.top3_hit))),
            row("  constant", &|of| percent(of.baselines.constant_top3_hit)),
            row("macro AP", &|of| mean(of.macro_ap, of.intervals.as_ref().and_then(|all| all.macro_ap))),
            row("  chance", &|of| score(of.baselines.chance_macro_ap)),
            row("weighted AP", &|of| mean(of.weighted_ap, of.intervals.as_ref().and_then(|all| all.weighted_ap))),
            row("  chance", &|of| score(of.baselines.chance_weighted_ap)),
            row("macro AUC", &|of| mean(of.macro_auc, of.intervals.as_ref().and_then(|all| all.macro_auc))),
            row("  chance", &|of| score(of.macro_auc.map(|_| CHANCE_AUC))),
            row("weighted AUC", &|of| mean(of.weighted_auc, of.intervals.as_ref().and_then(|all| all.weighted_auc))),
            row("  chance", &|of| score(of.weighted_auc.map(|_| CHANCE_AUC))),
            row("loss", &|of| score(Some(of.loss))),
        ];
        let names = self.0.iter().map(|of| short(&of.experiment, 20));
        let head: Vec<String> = std::iter::once(String::new()).chain(names).collect();
        let all: Vec<usize> = (0..head.len()).collect();
        write!(f, "{}", columns(head, rows, &all))?;
        writeln!(f, "weighted: the mean over the genres, each counting by its films; macro: all alike")?;
        if self.0.iter().any(|of| of.intervals.is_some()) {
            writeln!(f, "[..]: 95 % intervals over other films of the same kind")?;
        }
        let few = self.0.iter().filter(|of| of.films < FEW);
        let few: Vec<String> = few.map(|of| short(&of.experiment, 20)).collect();
        if !few.is_empty() {
            writeln!(f, "rough, on fewer than {FEW} films: {}", few.join(", "))?;
        }
        Ok(())
    }
}

/// Rows under a head as plain text in columns, a line feed after each line. The columns whose
/// positions are `texts` begin at the left, the others end at the right, as numbers do. What does
/// not fit into 80 characters is broken into lines within its column; what is unsafe to show is
/// escaped.
///
/// # Panics
/// If a row has not as many cells as the head.
pub fn columns(head: Vec<String>, rows: Vec<Vec<String>>, texts: &[usize]) -> String {
    let count = head.len();
    let mut table = comfy_table::Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    for row in std::iter::once(head).chain(rows) {
        assert_eq!(row.len(), count, "a row has other columns than the head");
        table.add_row(row.iter().map(|cell| printable(cell).into_owned()));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at + 1 < count { 2 } else { 0 }));
        column.set_cell_alignment(if texts.contains(&at) { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.trim_fmt() + "\n"
}

/// A share in per cent, as all tables show hits: `54.0%`.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// A number from 0 to 1 or a loss, as all tables show them: `0.259`, or `n/a` where it does not
/// exist.
pub fn score(value: Option<f64>) -> String {
    value.map_or("n/a".into(), |value| format!("{value:.3}"))
}

/// A name for a table or an example: at most `most` characters, safe to show; `...` stands for what
/// is left out.
pub fn short(name: &str, most: usize) -> String {
    let shown = excerpt(name);
    match shown.char_indices().nth(most) {
        Some(_) => shown.chars().take(most.saturating_sub(3)).chain("...".chars()).collect(),
        None => shown,
    }
}
