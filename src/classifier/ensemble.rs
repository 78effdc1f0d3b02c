//! Several classifiers as one: the probabilities that they answer are averaged.
//!
//! Networks that differ in their seeds alone err in different places, and their mean is better than
//! any of them and less sure of what it does not know.
//!
//! Lakshminarayanan et al. 2017, Deep Ensembles, <https://arxiv.org/abs/1612.01474>.

use crate::classifier::{Classifier, Meta};
use crate::nn::Head;

/// The name of the folder of a member, counted from 1, in that of the run of an ensemble.
pub fn member_folder(number: usize) -> String {
    format!("member-{number}")
}

impl Classifier {
    /// The classifiers as one, whose members they are. It has no thresholds yet: those of its members
    /// are not those of their mean.
    ///
    /// # Errors
    /// A text that says in what the classifiers differ: only those of one spec that answer the same
    /// question in the same way can be averaged.
    ///
    /// # Panics
    /// If there are none.
    pub fn join(members: Vec<Self>) -> Result<Self, String> {
        let mut members = members.into_iter();
        let mut joined = members.next().expect("an ensemble has a member");
        joined.meta = joined.meta.of_several();
        for (i, member) in members.enumerate() {
            let Self { meta, network, others } = member;
            if meta.of_several() != joined.meta || network.spec() != joined.network.spec() {
                return Err(format!(
                    "member {} is of another model, or answers another question, than member 1",
                    i + 2
                ));
            }
            joined.others.push(network);
            joined.others.extend(others);
        }
        Ok(joined)
    }
}

impl Meta {
    /// What holds of each member as of all.
    fn of_several(self) -> Self {
        Self { epoch: None, best: None, thresholds: None, ..self }
    }
}

/// From the logits of several members to those of the mean of their probabilities, in place. One
/// member's stay as they are, to the bit.
///
/// The mean is taken of logarithms, so that it does not saturate where a probability does.
///
/// # Shapes
/// `logits`: `[members, n, classes]` before, `[n, classes]` after
/// # Panics
/// If the length is not that.
pub(super) fn mean_of_members(head: Head, (members, classes): (usize, usize), logits: &mut Vec<f32>) {
    assert_eq!(logits.len() % (members * classes), 0, "the logits are of {members} members and {classes} classes");
    if members == 1 {
        return;
    }
    let len = logits.len() / members;
    if head == Head::Softmax {
        for item in logits.chunks_exact_mut(classes) {
            let all = ln_sum_exp(item.iter().map(|&logit| f64::from(logit)));
            item.iter_mut().for_each(|logit| *logit = (f64::from(*logit) - all) as f32);
        }
    }
    for at in 0..len {
        let of_members = || (0..members).map(|member| f64::from(logits[member * len + at]));
        let mean = match head {
            // Those of the probability and of its complement have the same divisor.
            Head::Sigmoid => {
                ln_sum_exp(of_members().map(ln_sigmoid)) - ln_sum_exp(of_members().map(|l| ln_sigmoid(-l)))
            }
            Head::Softmax => ln_sum_exp(of_members()) - (members as f64).ln(),
        };
        logits[at] = mean as f32;
    }
    logits.truncate(len);
}

/// `ln(sum(exp(values)))`
fn ln_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    match largest.is_finite() {
        true => largest + values.map(|value| (value - largest).exp()).sum::<f64>().ln(),
        false => largest,
    }
}

/// `ln(1 / (1 + exp(-logit)))`
fn ln_sigmoid(logit: f64) -> f64 {
    logit.min(0.0) - (-logit.abs()).exp().ln_1p()
}
