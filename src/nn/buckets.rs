//! The gradients of a model on their way through the sums over all ranks.
//!
//! The backward pass hands in the gradient of a layer as soon as it has it. Gradients are collected in
//! buckets, so that small ones do not each cost a message's latency, and the sum over a full bucket
//! goes on while the layers below are computed.
//!
//! Li et al. 2020, PyTorch Distributed, <https://arxiv.org/abs/2006.15704>, section 3.2.

use crate::ranks::{Summing, Team};
use std::collections::VecDeque;

/// How many values a bucket holds before its sum begins: 1 MiB, which takes a link of 1 Gb/s 8 ms, many
/// times the latency of a message. A larger gradient is a bucket of its own.
const FULL: usize = 1 << 18;

/// The buckets of a step.
#[derive(Default)]
pub struct Buckets {
    /// That which is being filled.
    open: Vec<f32>,
    /// Those whose sums are under way, in the order in which they began.
    under_way: VecDeque<Summing>,
    /// That which is being read, from which place on.
    summed: (Vec<f32>, usize),
    /// Empty ones whose memory is used again.
    spare: Vec<Vec<f32>>,
}

impl Buckets {
    /// Adds values, each times `factor`.
    pub fn push(&mut self, team: &Team, values: &[f32], factor: f32) {
        self.open.extend(values.iter().map(|value| value * factor));
        if self.open.len() >= FULL {
            self.flush(team);
        }
    }

    /// Begins the sum over what is in no full bucket.
    pub fn flush(&mut self, team: &Team) {
        if !self.open.is_empty() {
            let full = std::mem::replace(&mut self.open, self.spare.pop().unwrap_or_default());
            self.under_way.push_back(team.begin_sum(full));
        }
    }

    /// Overwrites `values` with the sums of those that were pushed next, and waits for them.
    ///
    /// # Panics
    /// If they are not as many as were pushed.
    pub fn take(&mut self, values: &mut [f32]) {
        if self.summed.1 == self.summed.0.len() {
            let next = self.under_way.pop_front().expect("a sum was begun for all that was pushed").wait();
            let (mut read, _) = std::mem::replace(&mut self.summed, (next, 0));
            read.clear();
            self.spare.push(read);
        }
        let (sums, at) = &mut self.summed;
        values.copy_from_slice(&sums[*at..*at + values.len()]);
        *at += values.len();
    }
}
