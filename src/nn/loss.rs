//! The head of a model: its last activation together with its loss, from the outputs as logits.

use super::Tensor;
use onesheet_kernels::loss::{self, CrossEntropy};
use serde::{Deserialize, Serialize};

/// What a model's outputs mean, and with that the loss they are trained by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Sigmoid of each output and binary cross-entropy: an item can have any number of classes.
    Sigmoid,
    /// Softmax over the outputs and categorical cross-entropy: an item has exactly one class.
    Softmax,
}

/// What training minimises: the cross-entropy, and how it departs from the plain one.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// What the outputs mean.
    pub head: Head,
    /// A factor for each class' share of the loss; `None` is 1 for all.
    pub class_weights: Option<Vec<f32>>,
    /// The power of focal loss; see [`CrossEntropy::focus`].
    pub focus: f32,
    /// The share of each label that is spread evenly; see [`CrossEntropy::smoothing`].
    pub smoothing: f32,
    /// The heads beside the first; `None` where there is one head.
    pub auxiliary: Option<AuxiliaryHeads>,
}

/// Heads beside the first, all of sigmoids and plain cross-entropies. Their outputs follow its own in
/// the output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AuxiliaryHeads {
    /// The number of outputs of each.
    pub outputs: Vec<usize>,
    /// The factor of each of their losses.
    pub weight: f32,
}

impl From<Head> for Objective {
    /// The plain cross-entropy.
    fn from(head: Head) -> Self {
        Self { head, class_weights: None, focus: 0.0, smoothing: 0.0, auxiliary: None }
    }
}

impl Objective {
    /// The mean loss of a batch, of the first head alone. Writes the probabilities and the gradient of
    /// the loss by the logits.
    ///
    /// # Shapes
    /// `logits`, `labels` (0 to 1), `probabilities` and `dlogits` (both overwritten): `[n,
    /// classes]`
    pub fn cross_entropy(
        &self,
        classes: usize,
        logits: &[f32],
        labels: &[f32],
        probabilities: &mut [f32],
        dlogits: &mut [f32],
    ) -> f64 {
        let &Self { head, ref class_weights, focus, smoothing, auxiliary: _ } = self;
        let of = CrossEntropy { classes, logits, labels, class_weights: class_weights.as_deref(), focus, smoothing };
        match head {
            Head::Sigmoid => loss::sigmoid_cross_entropy(&of, probabilities, dlogits),
            Head::Softmax => loss::softmax_cross_entropy(&of, probabilities, dlogits),
        }
    }
}

impl Head {
    /// The probabilities that a model's outputs mean, `[n, classes]` like the logits.
    pub fn probabilities(self, logits: &Tensor) -> Vec<f32> {
        let mut probabilities = vec![0.0; logits.values().len()];
        self.probabilities_of(logits.item_len(), logits.values(), &mut probabilities);
        probabilities
    }

    /// The probabilities of logits that lie in a slice.
    ///
    /// # Shapes
    /// `logits` and `probabilities` (overwritten): `[n, classes]`
    pub fn probabilities_of(self, classes: usize, logits: &[f32], probabilities: &mut [f32]) {
        match self {
            Self::Sigmoid => loss::sigmoid(logits, probabilities),
            Self::Softmax => loss::softmax(classes, logits, probabilities),
        }
    }
}
