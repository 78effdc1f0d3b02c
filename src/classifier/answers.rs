//! What a classifier says of films, batch by batch, and of posters in memory.
//!
//! Both go through [`mean_over_views`]: the logits of all views are added up, then divided by their
//! number, and become probabilities last. A poster is decoded once for all of its views. The members
//! of an ensemble do so each for itself; then their probabilities are averaged (see
//! [`ensemble`](crate::classifier::ensemble)).

use crate::classifier::Classifier;
use crate::classifier::ensemble::mean_of_members;
use crate::data::batches::{Batches, Batching, Order, Source};
use crate::data::decode::ImageSpec;
use crate::data::films::Film;
use crate::data::refusal::Refusal;
use crate::data::transform::{Look, Transform, Transformer, View, Views};
use crate::error::{Error, Result};
use crate::nn::{Input, Objective, Pass};
use crate::progress::Progress;
use crate::ranks::{Place, Team};
use rayon::prelude::*;

/// Posters per batch: enough to keep every core busy, little memory.
pub(crate) const BATCH: usize = 32;

/// A classifier's answers on some films.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The ids of the films whose posters decode, in the order of the rows of the fields below.
    pub ids: Vec<u64>,
    /// The probability of each genre for each film: `[films, genres]`.
    pub probabilities: Vec<f32>,
    /// The labels: `[films, genres]`, 1 where the film has the genre, else 0.
    pub labels: Vec<f32>,
    /// The mean loss per film; 0 where there are no films.
    pub loss: f64,
    /// The ids of the films whose posters did not decode, each with the reason; always empty for a
    /// cache.
    pub refused: Vec<(u64, Refusal)>,
}

/// The films that a classifier is asked about, and what it takes to ask.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The films, whose genres are indexes into those of the classifier.
    pub films: &'a [Film],
    /// Where their posters come from.
    pub source: &'a Source,
    /// The views that the answers are averaged over.
    pub views: Views,
    /// Films per batch; they change no bit of the answers.
    pub batch: usize,
    /// The name of the films on the progress bar.
    pub name: &'a str,
    /// The ranks among which the films are shared out.
    pub team: &'a Team,
}

impl Answers {
    /// Joins the answers of all ranks, and the logits that they come from, in the order of the ranks.
    fn join(&mut self, logits: &mut Vec<f32>, team: &Team) {
        if team.is_alone() {
            return;
        }
        self.ids = team.gather_values(&self.ids).concat();
        self.refused = team.gather_values(&self.refused).concat();
        for values in [logits, &mut self.labels] {
            let of_all = team.gather(bytemuck::cast_slice(values));
            *values = of_all.iter().flat_map(|bytes| bytes.as_chunks().0).map(|&of| f32::from_ne_bytes(of)).collect();
        }
    }
}

impl Classifier {
    /// The classifier's answers on films, in the order of the films: those of all ranks, on each.
    ///
    /// # Errors
    /// Those that the source of the posters gives; [`Error::Stopped`] if `progress` asks for it.
    pub fn answers(&mut self, question: Question, progress: &dyn Progress) -> Result<Answers> {
        let Question { films, source, views, batch, name, team } = question;
        let (classes, from) = (self.meta.genres.len(), source.spec());
        // As they are: the views are made of the same pixels.
        let transform = Transform { size: from, look: Look::View(View::WHOLE) };
        let batching =
            Batching { classes, order: Order::Sequential, skip: 0, size: batch, transform, place: Place::ALONE };
        let films = &films[team.place().share(films.len())];
        let mut batches = Batches::new(source.clone(), films, batching)?;
        let bar = progress.bar(name, films.len());
        let (mut logits, mut answers, mut stops) = (Vec::new(), Answers::default(), false);
        for batch in &mut batches {
            let batch = batch?;
            logits.extend(self.logits_about(&batch.images, from, views));
            answers.labels.extend_from_slice(&batch.labels);
            answers.ids.extend_from_slice(&batch.ids);
            bar.at(batch.end, None);
            stops = progress.stops();
            if stops {
                break;
            }
        }
        if team.any(stops) {
            return Err(Error::stopped(format!("while the {name} films were looked at"), "begin again"));
        }
        answers.refused = batches.refused().to_vec();
        drop(bar);
        answers.join(&mut logits, team);
        answers.probabilities.resize(logits.len(), 0.0);
        if !answers.ids.is_empty() {
            // Over all films at once, so that the loss does not depend on how they were batched.
            let (Answers { probabilities, labels, loss, .. }, mut dlogits) = (&mut answers, vec![0.0; logits.len()]);
            let objective = Objective::from(self.meta.head);
            *loss = objective.cross_entropy(classes, &logits, labels, probabilities, &mut dlogits);
        }
        Ok(answers)
    }

    /// The probability of each genre for one poster.
    ///
    /// # Shapes
    /// `poster`: u8 `[256, 256, 3]`, RGB; see [`ImageSpec::POSTER`]
    /// # Panics
    /// If the poster has another length.
    pub fn answer(&mut self, poster: &[u8]) -> Vec<f32> {
        assert_eq!(poster.len(), ImageSpec::POSTER.bytes(), "it is not one poster");
        self.answers_about(poster)
    }

    /// The probability of each genre for each of some posters. How many there are at once changes
    /// no bit of them.
    ///
    /// # Shapes
    /// `posters`: u8 `[n, 256, 256, 3]`, RGB; see [`ImageSpec::POSTER`]. The result: `[n, genres]`
    /// # Panics
    /// If the length is not that of whole posters.
    pub fn answers_about(&mut self, posters: &[u8]) -> Vec<f32> {
        let logits = self.logits_about(posters, ImageSpec::POSTER, self.meta.views);
        let mut probabilities = vec![0.0; logits.len()];
        self.meta.head.probabilities_of(self.meta.genres.len(), &logits, &mut probabilities);
        probabilities
    }

    /// The mean over the views of the logits for each of some posters; of an ensemble, the logits of the
    /// mean of what its members say.
    ///
    /// # Shapes
    /// `posters`: u8 `[n, from.height, from.width, 3]`, RGB. The result: `[n, genres]`
    /// # Panics
    /// If the length is not that of whole posters.
    pub(super) fn logits_about(&mut self, posters: &[u8], from: ImageSpec, views: Views) -> Vec<f32> {
        assert_eq!(posters.len() % from.bytes(), 0, "they are not whole posters");
        let at_once = self.at_once(posters.len() / from.bytes()) * from.bytes();
        posters.chunks(at_once).flat_map(|posters| self.logits_at_once(posters, from, views)).collect()
    }

    fn logits_at_once(&mut self, posters: &[u8], from: ImageSpec, views: Views) -> Vec<f32> {
        let size = self.input();
        let mut images = vec![0; posters.len() / from.bytes() * size.bytes()];
        let of_members = mean_over_views(views, |view| {
            let transform = Transform { size, look: Look::View(view) };
            let pairs = images.par_chunks_exact_mut(size.bytes()).zip(posters.par_chunks_exact(from.bytes()));
            pairs.for_each_init(
                || Transformer::new(transform),
                |transformer, (image, poster)| transformer.apply(poster, from, 0, image),
            );
            let mut logits = Vec::new();
            self.logits_of_members(&images, &mut logits);
            Ok(logits)
        });
        let mut logits = of_members.expect("posters in memory have no source that could fail");
        mean_of_members(self.meta.head, (self.members(), self.meta.genres.len()), &mut logits);
        logits
    }

    /// What each network says of images of its own size, which are shown as they are.
    ///
    /// # Shapes
    /// `images`: u8 `[n, height, width, 3]`, RGB. `logits` (overwritten): `[members, n, genres]`
    pub(super) fn logits_of_members(&mut self, images: &[u8], logits: &mut Vec<f32>) {
        logits.clear();
        for network in self.networks_mut() {
            logits.extend_from_slice(network.forward(Input::U8(images), Pass::Inference).values());
        }
    }
}

/// The mean of the logits that `logits_of` gives for each view.
///
/// # Errors
/// Those of `logits_of`.
/// # Panics
/// If the views differ in the number of their logits.
pub fn mean_over_views(views: Views, mut logits_of: impl FnMut(View) -> Result<Vec<f32>>) -> Result<Vec<f32>> {
    let views = views.all();
    let (first, others) = views.split_first().expect("there is one view at least");
    let mut mean = logits_of(*first)?;
    for &view in others {
        let logits = logits_of(view)?;
        assert_eq!(logits.len(), mean.len(), "all views are of the same films");
        mean.iter_mut().zip(logits).for_each(|(sum, logit)| *sum += logit);
    }
    if !others.is_empty() {
        let count = views.len() as f32;
        mean.iter_mut().for_each(|logit| *logit /= count);
    }
    Ok(mean)
}
