//! Two models' answers on the same films, and how sure the difference between them is.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::metrics::bootstrap::{NAMES, Resampled, Sample, TOP1_HIT, TOP3_HIT, Values};
use crate::error::{Error, Result};
use crate::report::{Predictions, columns, percent, score};
use crate::text::excerpt;

/// What the answers `b` are worth beside the answers `a`, on the films and genres that both have.
///
/// The films are drawn with replacement, the same ones for both: what makes a set of films easy or
/// hard makes it so for both, and leaves the difference. The draws are the same each time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The number of films that both have answers on.
    pub films: usize,
    /// The number of films that only `a` has answers on, and that only `b` has.
    pub films_left_out: [usize; 2],
    /// The names of the genres that both know.
    pub genres: Vec<String>,
    /// The names of the genres that only `a` knows, and that only `b` does.
    pub genres_left_out: [Vec<String>; 2],
    /// The number of times that films were drawn.
    pub resamples: usize,
    /// The metrics that exist.
    pub differences: Vec<Difference>,
}

/// A metric of both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The field of `metrics.json` that has it.
    pub metric: &'static str,
    /// The metric of `a`.
    pub a: f64,
    /// The metric of `b`.
    pub b: f64,
    /// `b - a`.
    pub difference: f64,
    /// The 95 % interval of the difference: bias-corrected and accelerated, from the paired
    /// bootstrap.
    pub interval: [f64; 2],
    /// The share of the resamples in which `b` is better, those in which both are equal counting one
    /// half.
    pub b_is_better: f64,
}

impl Comparison {
    /// Compares answers; each comes with the file that errors name.
    ///
    /// # Errors
    /// [`Error::Data`] if both have no film or no genre in common, or a film has other genres in one
    /// than in the other.
    pub fn of(a: (&Path, &Predictions), b: (&Path, &Predictions)) -> Result<Self> {
        let ((a_path, a), (b_path, b)) = (a, b);
        let (genres, genres_left_out) = shared(&a.genres, &b.genres);
        let (films, left_out) = shared(&a.ids, &b.ids);
        let remedy = "compare answers on the same films";
        if films.is_empty() {
            return Err(Error::data(b_path, format!("it has no film in common with {}", a_path.display()), remedy));
        }
        if genres.is_empty() {
            return Err(Error::data(b_path, format!("it has no genre in common with {}", a_path.display()), remedy));
        }
        let [of_a, of_b] = [a, b].map(|of| Part::of(of, &films, &genres));
        if let Some(film) = of_a.first_other_label(&of_b) {
            let what = format!("film {} has other genres than in {}", films[film], a_path.display());
            return Err(Error::data(b_path, what, "compare answers that were held against the same labels"));
        }
        let [a, b] = [of_a, of_b].map(|of| Sample::new(genres.len(), &of.probabilities, &of.labels));
        let ones = vec![1; films.len()];
        let (of_a, of_b) = (a.values(&ones), b.values(&ones));
        let resampled = Resampled::of(films.len(), |weights| minus(b.values(weights), a.values(weights)));
        let difference = |(metric, [field, _]): (usize, [&'static str; 2])| {
            Some(Difference {
                metric: field,
                a: of_a[metric]?,
                b: of_b[metric]?,
                difference: resampled.point[metric]?,
                interval: resampled.interval(metric, [-1.0, 1.0])?,
                b_is_better: resampled.share_above_zero(metric)?,
            })
        };
        Ok(Self {
            films: films.len(),
            films_left_out: left_out.map(|ids| ids.len()),
            genres,
            genres_left_out,
            resamples: resampled.resamples(),
            differences: (0..).zip(NAMES).filter_map(difference).collect(),
        })
    }
}

fn minus(b: Values, a: Values) -> Values {
    let mut all = b;
    all.iter_mut().zip(a).for_each(|(b, a)| *b = b.zip(a).map(|(b, a)| b - a));
    all
}

/// What both lists have, in the order of the first one, and what only one of them has.
fn shared<T: Clone + Eq + std::hash::Hash>(a: &[T], b: &[T]) -> (Vec<T>, [Vec<T>; 2]) {
    let [in_a, in_b] = [a, b].map(|list| list.iter().collect::<std::collections::HashSet<_>>());
    let (both, only_a) = a.iter().cloned().partition(|of| in_b.contains(of));
    (both, [only_a, b.iter().filter(|of| !in_a.contains(of)).cloned().collect()])
}

/// Answers on some of the films, about some of the genres.
struct Part {
    probabilities: Vec<f32>,
    labels: Vec<f32>,
    genres: usize,
}

impl Part {
    /// The answers on `films` about `genres`, in this order; `all` has them.
    fn of(all: &Predictions, films: &[u64], genres: &[String]) -> Self {
        let rows: HashMap<u64, usize> = all.ids.iter().copied().zip(0..).collect();
        let columns: HashMap<&String, usize> = all.genres.iter().zip(0..).collect();
        let of = |values: &[f32]| {
            let row = |id: &u64| &values[rows[id] * all.genres.len()..];
            films.iter().flat_map(|id| genres.iter().map(|genre| row(id)[columns[genre]])).collect()
        };
        Self { probabilities: of(&all.probabilities), labels: of(&all.labels), genres: genres.len() }
    }

    /// The first film that has other genres in the other part.
    fn first_other_label(&self, other: &Self) -> Option<usize> {
        self.labels.iter().zip(&other.labels).position(|(own, others)| own != others).map(|at| at / self.genres)
    }
}

/// A table with a line per metric, and what was left out; a line feed after each line.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let head = ["", "A", "B", "B - A", "95 % interval", "B better in"].map(str::to_owned);
        let row = |of: &Difference| {
            let metric = NAMES.iter().position(|[field, _]| *field == of.metric).expect("it is one of them");
            let is_share = [TOP1_HIT, TOP3_HIT].contains(&metric);
            let shown = |value: f64| if is_share { percent(value) } else { score(Some(value)) };
            // Differences of shares are in points.
            let signed = |value: f64| if is_share { format!("{:+.1}", 100.0 * value) } else { format!("{value:+.3}") };
            vec![
                NAMES[metric][1].to_owned(),
                shown(of.a),
                shown(of.b),
                signed(of.difference),
                format!("[{}, {}]", signed(of.interval[0]), signed(of.interval[1])),
                percent(of.b_is_better),
            ]
        };
        write!(f, "{}", columns(head.to_vec(), self.differences.iter().map(row).collect(), &[0]))?;
        let (films, genres) = (self.films, self.genres.len());
        writeln!(f, "on {films} films and {genres} genres, {} paired resamples of the films", self.resamples)?;
        for (of, films, genres) in
            [("A", 0), ("B", 1)].map(|(of, i)| (of, self.films_left_out[i], &self.genres_left_out[i]))
        {
            if films > 0 {
                writeln!(f, "left out: {films} films that only {of} has")?;
            }
            if !genres.is_empty() {
                let names: Vec<String> = genres.iter().map(|name| excerpt(name)).collect();
                writeln!(f, "left out: genres that only {of} knows: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}
