//! What a model will claim of memory, from its spec alone.

use super::layers::Claims;
use super::operations::{Operations, check_batch, item_len, largest_output};
use super::parameter::Parameter;
use super::spec::ModelSpec;
use crate::error::{Error, Result};
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::optim::Rule;
use onesheet_kernels::simd::Isa;

/// The memory that a model claims, in bytes: built, and with room for batches of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The values of the parameters. An [`Average`](super::Average) of them is as much again.
    pub values: u64,
    /// The parameters with all that training keeps beside their values.
    pub parameters: u64,
    /// What the passes over a batch read and write: the values between the layers, their
    /// gradients, and what the layers work in.
    pub buffers: u64,
    /// What each thread that computes works in.
    pub per_thread: u64,
}

impl Memory {
    /// All of it, with so many threads.
    pub fn total(&self, threads: usize) -> u64 {
        let of_threads = self.per_thread.saturating_mul(threads as u64);
        self.parameters.saturating_add(self.buffers).saturating_add(of_threads)
    }
}

impl ModelSpec {
    /// The memory that [`Sequential::build`](super::Sequential::build) will claim together with the
    /// passes over batches of up to `batch` items: those of training, given the optimiser's rule, or
    /// those of inference, on an instruction set and in its precision. Nothing is claimed to find out.
    ///
    /// Within a few per cent of what is measured; never less for a larger batch. For a model that
    /// takes images as bytes, those of an [`Input::F32`](super::Input::F32) come on top.
    ///
    /// ```
    /// use onesheet::nn::{Isa, ModelSpec, Rule};
    ///
    /// let spec = ModelSpec::input(&[1000]).dense(1000).relu().dense(10);
    /// let isa = Isa::choose().unwrap();
    /// let (inference, training) = (spec.memory(isa, 32, None)?, spec.memory(isa, 32, Some(&Rule::adam(1e-3)))?);
    /// assert!(inference.values > 4 * 1_010_000);
    /// assert!(training.total(1) > inference.total(1));
    /// # Ok::<(), onesheet::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan), and [`Error::Shape`] where a batch has more values than memory
    /// can hold.
    pub fn memory(&self, isa: Isa, batch: usize, rule: Option<&Rule>) -> Result<Memory> {
        let all = Operations::of(self, true)?;
        check_batch(batch, &all.shapes).map_err(Error::Shape)?;
        let training = rule.is_some();

        let (mut values, mut parameters) = (0, 0);
        for (role, shape) in all.plan.iter().flat_map(|layer| &layer.parameters) {
            let len = item_len(shape);
            values += Buffer::bytes(len) as u64;
            parameters += Parameter::bytes(*role, len, rule);
        }

        let bytes = |item: usize| Buffer::bytes(batch * item) as u64;
        let (input, outputs) = (item_len(&all.shapes[0]), &all.shapes[1..]);
        let input = if all.take_bytes() { (batch * input) as u64 } else { bytes(input) };
        let outputs = outputs.iter().map(|output| bytes(item_len(output))).sum::<u64>();
        let gradients = if training { 2 * bytes(largest_output(&all.shapes)) } else { 0 };

        let mut claims = Claims { buffers: input + outputs + gradients, per_thread: [0; 2] };
        for operation in &all.operations {
            let of_operation = operation.claims(isa, &all, batch, training);
            let of_operation =
                of_operation.map_err(|what| Error::Shape(format!("a batch of {batch} items: {what}")))?;
            claims = claims.and(of_operation);
        }
        let per_thread = claims.per_thread.iter().sum();
        Ok(Memory { values, parameters, buffers: claims.buffers, per_thread })
    }
}
