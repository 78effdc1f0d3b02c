//! The test films that a report shows, and their posters.

use crate::data::layout::{PosterFolder, poster_name};
use crate::data::ledger::Ledger;
use crate::nn::Head;
use crate::page::folder::Folder;
use crate::report::Evaluation;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// The least probability that a loss is taken of.
const LEAST: f64 = 1e-7;

/// The posters in the data folder that the configuration names, as far as it is still there.
pub(super) struct Posters {
    folder: Option<PathBuf>,
    /// The folder's list, which only odd names need.
    listed: OnceCell<Option<PosterFolder>>,
}

impl Posters {
    pub fn of(folder: &Folder) -> Self {
        let posters = folder.option("data").map(|data| Path::new(data).join("posters")).filter(|path| path.is_dir());
        Self { folder: posters, listed: OnceCell::new() }
    }

    /// Whether there is no folder of posters any more.
    pub fn are_gone(&self) -> bool {
        self.folder.is_none()
    }

    /// The file of a film's poster.
    pub fn file(&self, id: u64) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let usual = folder.join(poster_name(id));
        if usual.is_file() {
            return Some(usual);
        }
        let list = self.listed.get_or_init(|| PosterFolder::list(folder, &mut Ledger::default()).ok());
        list.as_ref().filter(|list| list.ids().contains(&id)).map(|list| list.file(id))
    }
}

/// Test films by the loss of their answers, as positions among the answers.
pub(super) struct Ranked {
    /// Those with the smallest losses, the best first.
    pub best: Vec<usize>,
    /// Those in the middle.
    pub typical: Vec<usize>,
    /// Those with the largest losses, the worst first.
    pub worst: Vec<usize>,
}

impl Ranked {
    /// At most `each` films of each kind, none of them of two kinds where there are three films or
    /// more; films of equal losses are in the order of their ids.
    pub fn of(ids: &[u64], evaluation: &Evaluation, each: usize) -> Self {
        let classes = evaluation.genres.len();
        let rows = evaluation.probabilities.chunks_exact(classes).zip(evaluation.labels.chunks_exact(classes));
        let losses: Vec<f64> =
            rows.map(|(probabilities, labels)| loss(evaluation.head, probabilities, labels)).collect();
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]).then(ids[a].cmp(&ids[b])));
        let each = each.min((order.len() / 3).max(1)).min(order.len());
        let middle = (order.len() - each) / 2;
        Self {
            best: order[..each].to_vec(),
            typical: order[middle..middle + each].to_vec(),
            worst: order[order.len() - each..].iter().rev().copied().collect(),
        }
    }
}

/// The cross-entropy of a film; with a sigmoid the mean over the genres.
fn loss(head: Head, probabilities: &[f32], labels: &[f32]) -> f64 {
    let log = |probability: f64| -probability.max(LEAST).ln();
    let pairs = probabilities.iter().map(|&p| f64::from(p)).zip(labels);
    match head {
        Head::Softmax => pairs.filter(|(_, label)| **label == 1.0).map(|(p, _)| log(p)).sum(),
        Head::Sigmoid => {
            pairs.map(|(p, label)| if *label == 1.0 { log(p) } else { log(1.0 - p) }).sum::<f64>() / labels.len() as f64
        }
    }
}
