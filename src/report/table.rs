//! The table of results on the terminal.

use std::fmt;

use crate::report::Metrics;

/// The results of experiments, one line each. To the right of a metric stands that of the trivial
/// answer, which it has to beat.
///
/// `Display` shows plain text with aligned columns and a line feed after each line. Hits are in per
/// cent; what does not apply is `n/a`.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [Metrics]);

const HEADER: [&str; 10] =
    ["experiment", "films", "top-1", "constant", "top-3", "constant", "macro AP", "chance", "macro AUC", "loss"];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let header = HEADER.map(String::from);
        let lines: Vec<_> = std::iter::once(header).chain(self.0.iter().map(cells)).collect();
        let width: [usize; HEADER.len()] =
            std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
        for line in &lines {
            write!(f, "{:<width$}", line[0], width = width[0])?;
            for (cell, width) in line.iter().zip(width).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn cells(metrics: &Metrics) -> [String; HEADER.len()] {
    let percent = |share: f64| format!("{:.1}%", 100.0 * share);
    let number = |value: Option<f64>| value.map_or("n/a".into(), |value| format!("{value:.3}"));
    [
        metrics.experiment.clone(),
        metrics.films.to_string(),
        percent(metrics.top1_hit),
        percent(metrics.baselines.constant_top1_hit),
        percent(metrics.top3_hit),
        percent(metrics.baselines.constant_top3_hit),
        number(metrics.macro_ap),
        number(metrics.baselines.chance_macro_ap),
        number(metrics.macro_auc),
        number(Some(metrics.loss)),
    ]
}
