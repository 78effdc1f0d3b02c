//! `predictions.csv`: one row per film.

use std::path::Path;

use crate::error::Result;
use crate::files;
use crate::nn::metrics::top_k;
use crate::report::Evaluation;
use crate::text::cell;

/// Writes `predictions.csv` with the columns `id`, `true_genres`, and `genre_1`, `probability_1` to
/// `genre_3`, `probability_3`.
///
/// `true_genres` are joined by `|`; the predictions are in descending order of probability, and
/// fewer than three if there are fewer genres. Probabilities have the shortest digits that read
/// back as the same f32. Genres that a spreadsheet would calculate are marked as text; see
/// [`cell`].
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with `path`.
///
/// # Panics
/// If `ids` are not as many as the evaluated films.
pub fn write_predictions(path: &Path, ids: &[u64], evaluation: &Evaluation) -> Result<()> {
    let &Evaluation { genres, probabilities, labels, .. } = evaluation;
    let classes = genres.len();
    assert_eq!(probabilities.len(), ids.len() * classes, "probabilities are not one row per film");
    assert_eq!(labels.len(), probabilities.len(), "probabilities and labels differ in shape");
    files::write_csv(path, |csv| {
        let mut header = vec!["id".to_string(), "true_genres".to_string()];
        for rank in 1..=classes.min(3) {
            header.extend([format!("genre_{rank}"), format!("probability_{rank}")]);
        }
        csv.write_record(&header)?;
        let rows = probabilities.chunks_exact(classes).zip(labels.chunks_exact(classes));
        for (id, (probabilities, labels)) in ids.iter().zip(rows) {
            let truth: Vec<&str> =
                genres.iter().zip(labels).filter(|(_, label)| **label == 1.0).map(|(genre, _)| &**genre).collect();
            let mut record = vec![id.to_string(), cell(&truth.join("|")).into_owned()];
            for genre in top_k(probabilities, 3) {
                record.extend([cell(&genres[genre]).into_owned(), probabilities[genre].to_string()]);
            }
            csv.write_record(&record)?;
        }
        Ok(())
    })
}
