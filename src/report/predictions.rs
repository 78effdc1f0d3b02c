//! `predictions.csv`: one row per film.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;

use crate::error::{Error, Result};
use crate::files;
use crate::nn::metrics::top_k;
use crate::report::history::from_csv;
use crate::report::{Evaluation, REMEDY, read};
use crate::text::{cell, excerpt, of_cell};

/// What stands before a genre's name in the head of the column of its probabilities.
const PREFIX: &str = "p_";

/// Writes `predictions.csv` with the columns `id`, `true_genres`, `genre_1`, `probability_1` to
/// `genre_3`, `probability_3`, and then for each genre, in their order, `p_<genre>` with its
/// probability.
///
/// `true_genres` are joined by `|`; the predictions are in descending order of probability, and
/// fewer than three if there are fewer genres. Probabilities have the shortest digits that read
/// back as the same f32. Genres that a spreadsheet would calculate are marked as text; see
/// [`cell`].
///
/// # Errors
/// [`Error::Io`] with `path`.
///
/// # Panics
/// If `ids` are not as many as the evaluated films.
pub fn write_predictions(path: &Path, ids: &[u64], evaluation: &Evaluation) -> Result<()> {
    let &Evaluation { genres, probabilities, labels, .. } = evaluation;
    let classes = genres.len();
    assert_eq!(probabilities.len(), ids.len() * classes, "probabilities are not one row per film");
    assert_eq!(labels.len(), probabilities.len(), "probabilities and labels differ in shape");
    files::write_csv(path, |csv| {
        csv.write_record(header(genres))?;
        let rows = probabilities.chunks_exact(classes).zip(labels.chunks_exact(classes));
        for (id, (probabilities, labels)) in ids.iter().zip(rows) {
            let truth: Vec<&str> =
                genres.iter().zip(labels).filter(|(_, label)| **label == 1.0).map(|(genre, _)| &**genre).collect();
            let mut record = vec![id.to_string(), cell(&truth.join("|")).into_owned()];
            for genre in top_k(probabilities, 3) {
                record.extend([cell(&genres[genre]).into_owned(), probabilities[genre].to_string()]);
            }
            record.extend(probabilities.iter().map(f32::to_string));
            csv.write_record(&record)?;
        }
        Ok(())
    })
}

/// The names of the columns.
fn header(genres: &[String]) -> Vec<String> {
    let ranks = (1..=genres.len().min(3)).flat_map(|rank| [format!("genre_{rank}"), format!("probability_{rank}")]);
    let all = genres.iter().map(|genre| format!("{PREFIX}{genre}"));
    ["id", "true_genres"].map(str::to_owned).into_iter().chain(ranks).chain(all).collect()
}

/// The content of `predictions.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The names of the genres.
    pub genres: Vec<String>,
    /// The ids of the films.
    pub ids: Vec<u64>,
    /// `[films, genres]`, row-major.
    pub probabilities: Vec<f32>,
    /// `[films, genres]`, row-major; 1 where the film has the genre, else 0.
    pub labels: Vec<f32>,
}

impl Predictions {
    /// Reads a file that [`write_predictions`] wrote, or that of another program: the columns `id`,
    /// `true_genres` and a `p_<genre>` for each genre, in any order. Other columns are passed over:
    /// the most probable genres follow from these.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Data`], with the row, if it is anything
    /// else: a column that is missing or there twice, a film that has no number or is there twice, a
    /// genre that has no column, a probability that is none. A file without the probabilities of all
    /// genres, as earlier versions wrote it, is told so.
    pub fn read(path: &Path) -> Result<Self> {
        let content = read(path)?;
        let mut reader = csv::Reader::from_reader(&content[..]);
        let columns = Columns::of(reader.headers().map_err(|e| from_csv(path, e))?);
        let columns = columns.map_err(|what| Error::row(path, 1, what, REMEDY))?;
        let genres = columns.genres.iter().map(|(name, _)| name.clone()).collect();
        let mut read = Self { genres, ids: Vec::new(), probabilities: Vec::new(), labels: Vec::new() };
        let classes = read.genres.iter().cloned().zip(0..).collect();
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(|e| from_csv(path, e))? {
            let row = record.position().map_or(0, csv::Position::line);
            read.push(&record, &columns, &classes).map_err(|what| Error::row(path, row, what, REMEDY))?;
        }
        let mut sorted = read.ids.clone();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::data(path, format!("film {} is there twice", pair[0]), REMEDY)),
            None if read.ids.is_empty() => Err(Error::data(path, "it has no films", REMEDY)),
            None => Ok(read),
        }
    }

    /// Takes the film of a row, whose fields are as many as the header's.
    fn push(
        &mut self,
        record: &StringRecord,
        columns: &Columns,
        classes: &HashMap<String, usize>,
    ) -> Result<(), String> {
        let (id, truth) = (&record[columns.id], &record[columns.true_genres]);
        let id = id.parse().map_err(|_| format!("`{}` is no film's number", excerpt(id)))?;
        let mut labels = vec![0.0; self.genres.len()];
        for name in of_cell(truth).split('|').filter(|name| !name.is_empty()) {
            let class = classes.get(name).ok_or_else(|| format!("`{}` is no genre of this file", excerpt(name)))?;
            labels[*class] = 1.0;
        }
        for text in columns.genres.iter().map(|(_, at)| &record[*at]) {
            let probability = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
            self.probabilities.push(probability.ok_or_else(|| format!("`{}` is no probability", excerpt(text)))?);
        }
        self.labels.extend(labels);
        self.ids.push(id);
        Ok(())
    }
}

/// Where the columns of a file are.
struct Columns {
    id: usize,
    true_genres: usize,
    /// The genres in the order of their columns.
    genres: Vec<(String, usize)>,
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, String> {
        let at = |column: &str| header.iter().position(|name| name == column);
        let genres =
            header.iter().enumerate().filter_map(|(at, name)| Some((name.strip_prefix(PREFIX)?.to_owned(), at)));
        let genres: Vec<(String, usize)> = genres.collect();
        let (Some(id), Some(true_genres), false) = (at("id"), at("true_genres"), genres.is_empty()) else {
            return Err("the columns are not those of predictions with the probability of every genre".to_owned());
        };
        let mut names: Vec<&str> = header.iter().collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("the column `{}` is there twice", excerpt(pair[0]))),
            None => Ok(Self { id, true_genres, genres }),
        }
    }
}
