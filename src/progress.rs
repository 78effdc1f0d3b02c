//! Where long work tells how far it is.

/// Somebody who is told. A bar counts films.
pub trait Progress: Sync {
    /// A line of its own.
    fn note(&self, line: &str);
    /// A new bar of `total` films.
    fn start(&self, what: &str, total: usize);
    /// The bar stands at `done`; `loss` is the mean so far, where there is one.
    fn at(&self, done: usize, loss: Option<f64>);
    /// The bar is done and goes away.
    fn finish(&self);
}
