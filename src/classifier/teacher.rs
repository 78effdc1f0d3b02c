//! A classifier that teaches another one: distillation.
//!
//! The student learns from the probabilities that the teacher gives for the very images that the
//! student sees, beside the labels. They say more than the labels: which wrong genres are nearly right,
//! and where a part of a poster shows nothing of a genre.
//!
//! Hinton et al. 2015, Distilling the Knowledge in a Neural Network, <https://arxiv.org/abs/1503.02531>;
//! the same images for both, after all variations and mixtures, are those of Beyer et al. 2022, Knowledge
//! distillation: a good teacher is patient and consistent, <https://arxiv.org/abs/2106.05237>.

use crate::classifier::Classifier;
use crate::classifier::ensemble::mean_of_members;
use crate::data::decode::ImageSpec;
use crate::error::Error;
use crate::nn::Head;
use crate::text::excerpt;

/// A classifier that teaches, and what it needs to.
pub struct Teacher {
    classifier: Classifier,
    /// Its share of the targets.
    weight: f32,
    /// The place of each of the student's genres among the teacher's.
    places: Vec<usize>,
    logits: Vec<f32>,
    of_student: Vec<f32>,
    probabilities: Vec<f32>,
    targets: Vec<f32>,
}

/// What a teacher has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Student<'a> {
    /// What its outputs mean.
    pub head: Head,
    /// Its genres, which the teacher has to know.
    pub genres: &'a [String],
    /// The size of the images that both see.
    pub input: ImageSpec,
}

impl Teacher {
    /// A teacher whose probabilities are the share `weight` of the targets, from 0 to 1.
    ///
    /// # Errors
    /// What is wrong, and what to do about it, if the teacher does not fit the student: it has another
    /// head, sees images of another size, or lacks a genre.
    pub fn new(classifier: Classifier, student: Student, weight: f32) -> Result<Self, (String, String)> {
        let Student { head, genres, input } = student;
        let own = classifier.input();
        if classifier.meta.head != head {
            let [own, head] = [classifier.meta.head, head].map(|head| format!("{head:?}").to_lowercase());
            let what = format!("a {own} head does not teach a {head} one");
            return Err((what, "name a teacher that answers the same question".to_owned()));
        }
        if own != input {
            let what = format!(
                "it sees images of {}x{}, and the student of {}x{}",
                own.height, own.width, input.height, input.width
            );
            let remedy =
                format!("train the student with --input {}x{}, or name another teacher", own.height, own.width);
            return Err((what, remedy));
        }
        let place = |genre: &String| {
            let place = classifier.meta.genres.iter().position(|own| own == genre);
            place.ok_or_else(|| {
                (
                    format!("it does not know the genre {}", excerpt(genre)),
                    "name a teacher that was trained on these genres".to_owned(),
                )
            })
        };
        let places = genres.iter().map(place).collect::<Result<_, _>>()?;
        let (logits, of_student, probabilities, targets) = Default::default();
        Ok(Self { classifier, weight, places, logits, of_student, probabilities, targets })
    }

    /// Has the teacher see images of that size from now on, as the student does in a training whose
    /// posters grow.
    ///
    /// # Errors
    /// [`Error::Shape`] where its weights depend on the size.
    pub fn resize(&mut self, ImageSpec { height, width }: ImageSpec) -> Result<(), Error> {
        self.classifier.networks_mut().try_for_each(|network| network.resize_input(&[height, width, 3]))
    }

    /// What the student is to answer about a batch: `(1 - weight) * labels + weight * probabilities`.
    /// Of a teacher that knows more genres than the student, those of a softmax are shares of the
    /// student's genres alone. The labels of auxiliary heads, which follow those of the genres, stay as
    /// they are, and a label that is not known, NaN, stays that. A steady call allocates nothing.
    ///
    /// # Shapes
    /// `images`: u8 `[n, height, width, 3]`, RGB, as the student sees them. `labels` and the result: `[n,
    /// outputs of the student]`, 0 to 1, or NaN
    /// # Panics
    /// If the labels are not as many as the images ask for.
    pub fn targets(&mut self, images: &[u8], labels: &[f32]) -> &[f32] {
        let Self { classifier, weight, places, logits, of_student, probabilities, targets } = self;
        let (head, known) = (classifier.meta.head, classifier.meta.genres.len());
        classifier.logits_of_members(images, logits);
        mean_of_members(head, (classifier.members(), known), logits);
        of_student.clear();
        for item in logits.chunks_exact(known) {
            of_student.extend(places.iter().map(|&place| item[place]));
        }
        let images = of_student.len() / places.len();
        let outputs = labels.len() / images;
        assert!(outputs >= places.len() && outputs * images == labels.len(), "the labels are of these images");
        probabilities.resize(of_student.len(), 0.0);
        head.probabilities_of(places.len(), of_student, probabilities);
        targets.clear();
        targets.extend_from_slice(labels);
        for (of_image, said) in targets.chunks_exact_mut(outputs).zip(probabilities.chunks_exact(places.len())) {
            of_image.iter_mut().zip(said).for_each(|(label, p)| *label = (1.0 - *weight) * *label + *weight * p);
        }
        targets
    }
}
