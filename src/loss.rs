//! The head of a model: its last activation together with its loss, from the outputs as logits.

use onesheet_kernels::loss::{self, CrossEntropy};
use serde::{Deserialize, Serialize};

/// What a model's outputs mean, and what it is punished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Sigmoid of each output and binary cross-entropy: an item can have any number of classes.
    Sigmoid,
    /// Softmax over the outputs and categorical cross-entropy: an item has exactly one class.
    Softmax,
}

impl Head {
    /// The mean loss of a batch. Writes the probabilities and the gradient of the loss by the logits.
    ///
    /// # Shapes
    /// `logits`, `labels` (0 or 1), `probabilities` and `dlogits` (both overwritten): `[n, classes]`
    pub fn cross_entropy(
        self,
        classes: usize,
        logits: &[f32],
        labels: &[f32],
        class_weights: Option<&[f32]>,
        probabilities: &mut [f32],
        dlogits: &mut [f32],
    ) -> f64 {
        let of = CrossEntropy { classes, logits, labels, class_weights };
        match self {
            Self::Sigmoid => loss::sigmoid_cross_entropy(&of, probabilities, dlogits),
            Self::Softmax => loss::softmax_cross_entropy(&of, probabilities, dlogits),
        }
    }

    /// The probabilities alone.
    ///
    /// # Shapes
    /// `logits` and `probabilities` (overwritten): `[n, classes]`
    pub fn probabilities(self, classes: usize, logits: &[f32], probabilities: &mut [f32]) {
        match self {
            Self::Sigmoid => loss::sigmoid(logits, probabilities),
            Self::Softmax => loss::softmax(classes, logits, probabilities),
        }
    }
}
