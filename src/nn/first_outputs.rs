//! A model of the first outputs of another: what is left of one with auxiliary heads.

use super::Sequential;

impl Sequential {
    /// Takes over the weights of a model that differs from this one in the number of its outputs alone,
    /// those of its first outputs: whatever is the input, this model's outputs are then the first ones
    /// of the other.
    ///
    /// # Panics
    /// If the models differ in anything else, or `other` has fewer outputs.
    pub fn take_first_outputs(&mut self, other: &Self) {
        let mut theirs = other.parameters().into_iter();
        let outputs = [self.outputs(), other.outputs()];
        self.each_parameter_mut(|own| {
            let from = theirs.next().expect("the models have as many parameters");
            let last = |shape: &[usize]| shape.last().copied().expect("a parameter has an axis");
            let (columns, of) = (last(&own.shape), last(&from.shape));
            let is_alike = own.shape[..own.shape.len() - 1] == from.shape[..from.shape.len() - 1];
            let is_cut = [columns, of] == outputs && columns <= of;
            assert!(
                own.name() == from.name() && is_alike && (columns == of || is_cut),
                "the models differ in {}",
                own.name()
            );
            let rows = own.value.chunks_exact_mut(columns).zip(from.value.chunks_exact(of));
            rows.for_each(|(own, from)| own.copy_from_slice(&from[..columns]));
        });
        assert!(theirs.next().is_none(), "the models have as many parameters");
    }
}
